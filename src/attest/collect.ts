import type { RegisterFault } from "../log/register-fault.ts";
import { linesFrom, type Segment, type SegmentStart } from "../log/segments.ts";
import type { Evidence } from "./evidence.ts";
import type { PlatformEvidence } from "./platform-evidence.ts";

/** Quotes a nonce with the attestation key over the agent's PCR, or with those below it and what leads to them. */
export type Quoter = (
  nonce: Uint8Array,
) => Promise<{ attest: Uint8Array; signature: Uint8Array; platform?: PlatformEvidence }>;

/**
 * Makes evidence of the log as it is on disk: a quote over the nonce, and the records from `from` on. A log that is
 * shorter than that, or absent, is sent as what it is, an empty rest; of one whose beginning is pruned goes what is there.
 * The verifier draws its conclusion.
 */
export async function collectEvidence(options: {
  /** The log, or what is needed of it. */
  readonly segments: readonly SegmentStart[];
  readonly from: number;
  /**
   * Given when the verifier's last proof is of another boot: the logs from that boot's on, the oldest first, or none where
   * that is not there any more. `from` is then of the first of them, and the others and this boot's are sent whole.
   */
  readonly earlier?: readonly (readonly Segment[])[] | undefined;
  readonly nonce: Uint8Array;
  readonly quote: Quoter;
  /** What the agent found wrong with its register. */
  readonly fault?: RegisterFault;
}): Promise<Evidence> {
  const { attest, signature, platform } = await options.quote(options.nonce);
  const { segments, from, earlier } = options;
  const [proved, ...others] = earlier === undefined ? [segments] : [...earlier, segments];
  // Where nothing is left of the log that something was proved of, this boot's is all there is.
  const isLost = earlier?.length === 0;
  const records: string[] = [];
  const first = proved?.[0]?.from ?? 0;
  let count = first;
  for await (const line of linesFrom(proved ?? [], first)) if (count++ >= from || isLost) records.push(line);
  for (const log of others) for await (const line of linesFrom(log, 0)) records.push(line);
  return {
    nonce: Buffer.from(options.nonce).toString("hex"),
    from: isLost ? from : Math.max(first, Math.min(from, count)),
    records,
    attest: Buffer.from(attest).toString("base64"),
    signature: Buffer.from(signature).toString("base64"),
    ...(platform === undefined ? {} : { platform }),
    ...(options.fault === undefined ? {} : { fault: options.fault }),
  };
}
