import { readLog } from "../log/read-log.ts";
import type { Evidence } from "./evidence.ts";

/** Quotes a nonce with the attestation key over the agent's PCR. */
export type Quoter = (nonce: Uint8Array) => Promise<{ attest: Uint8Array; signature: Uint8Array }>;

/**
 * Makes evidence of the log as it is on disk: a quote over the nonce, and the records from `from` on. A log that is
 * shorter than that is sent as what it is, an empty rest; the verifier draws its conclusion.
 */
export async function collectEvidence(options: {
  readonly logPath: string;
  readonly from: number;
  readonly nonce: Uint8Array;
  readonly quote: Quoter;
}): Promise<Evidence> {
  const { attest, signature } = await options.quote(options.nonce);
  const { lines } = await readLog(options.logPath);
  const from = Math.min(options.from, lines.length);
  return {
    nonce: Buffer.from(options.nonce).toString("hex"),
    from,
    records: lines.slice(from),
    attest: Buffer.from(attest).toString("base64"),
    signature: Buffer.from(signature).toString("base64"),
  };
}
