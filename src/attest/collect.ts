import { errorCode } from "../core/errors.ts";
import { logLines } from "../log/read-log.ts";
import type { RegisterFault } from "../log/register-fault.ts";
import type { Evidence } from "./evidence.ts";
import type { PlatformEvidence } from "./platform-evidence.ts";

/** Quotes a nonce with the attestation key over the agent's PCR, or with those below it and what leads to them. */
export type Quoter = (
  nonce: Uint8Array,
) => Promise<{ attest: Uint8Array; signature: Uint8Array; platform?: PlatformEvidence }>;

/**
 * Makes evidence of the log as it is on disk: a quote over the nonce, and the records from `from` on. A log that is
 * shorter than that, or absent, is sent as what it is, an empty rest; the verifier draws its conclusion.
 */
export async function collectEvidence(options: {
  readonly logPath: string;
  readonly from: number;
  /** A record at or before `from` and where it begins, when that is known: what is before it is not read. */
  readonly start?: { readonly recnum: number; readonly startByte: number };
  readonly nonce: Uint8Array;
  readonly quote: Quoter;
  /** What the agent found wrong with its register. */
  readonly fault?: RegisterFault;
}): Promise<Evidence> {
  const { attest, signature, platform } = await options.quote(options.nonce);
  const { recnum, startByte } = options.start ?? { recnum: 0, startByte: 0 };
  const records: string[] = [];
  let count = recnum;
  try {
    for await (const line of logLines(options.logPath, startByte)) {
      // A torn last line is no record yet.
      if (!line.endsWith("\n")) break;
      if (count++ >= options.from) records.push(line.slice(0, -1));
    }
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  return {
    nonce: Buffer.from(options.nonce).toString("hex"),
    from: Math.min(options.from, count),
    records,
    attest: Buffer.from(attest).toString("base64"),
    signature: Buffer.from(signature).toString("base64"),
    ...(platform === undefined ? {} : { platform }),
    ...(options.fault === undefined ? {} : { fault: options.fault }),
  };
}
