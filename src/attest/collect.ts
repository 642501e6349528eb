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
  /**
   * Given when the verifier's last proof is of another boot: the logs from that boot's on, the oldest first, or none where
   * that is not there any more. `from` is then of the first of them, and the others and this boot's are sent whole.
   */
  readonly earlier?: readonly string[] | undefined;
  readonly nonce: Uint8Array;
  readonly quote: Quoter;
  /** What the agent found wrong with its register. */
  readonly fault?: RegisterFault;
}): Promise<Evidence> {
  const { attest, signature, platform } = await options.quote(options.nonce);
  const records: string[] = [];
  /** Takes a log's records from one on. Returns how many it has. */
  const take = async (path: string, from: number, start = { recnum: 0, startByte: 0 }): Promise<number> => {
    let count = start.recnum;
    try {
      for await (const line of logLines(path, start.startByte)) {
        // A torn last line is no record yet.
        if (!line.endsWith("\n")) break;
        if (count++ >= from) records.push(line.slice(0, -1));
      }
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
    return count;
  };
  const { logPath, from, earlier } = options;
  let end = from;
  if (earlier === undefined) end = await take(logPath, from, options.start);
  else {
    for (const [index, path] of earlier.entries())
      if (index === 0) end = await take(path, from);
      else await take(path, 0);
    await take(logPath, 0);
  }
  return {
    nonce: Buffer.from(options.nonce).toString("hex"),
    from: Math.min(from, end),
    records,
    attest: Buffer.from(attest).toString("base64"),
    signature: Buffer.from(signature).toString("base64"),
    ...(platform === undefined ? {} : { platform }),
    ...(options.fault === undefined ? {} : { fault: options.fault }),
  };
}
