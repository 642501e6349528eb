import { bytesEqual, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import type { BootEvent } from "../log/event.ts";
import type { Reason } from "../log/finding.ts";
import { parseRecord } from "../log/record.ts";
import { recordOfAnother } from "../log/register.ts";
import { extendValue } from "../log/replay.ts";
import { segmentsAt } from "../log/scan-log.ts";
import { linesOf } from "../log/segments.ts";
import { type ShowsValue, showsNv, showsPcr, verifyRegister } from "./quoted-register.ts";

/** What a log must lead to: the value of a PCR, or what a quote shows of it. */
export type Expectation =
  | { readonly kind: "value"; readonly value: Uint8Array }
  | {
      readonly kind: "quote";
      readonly attest: Uint8Array;
      readonly signature: Uint8Array;
      readonly ak: Uint8Array;
      readonly nonce: Uint8Array;
      /** Values of the PCRs that are quoted besides the log's. */
      readonly others?: ReadonlyMap<number, Uint8Array>;
    };

export interface LogReport {
  readonly agrees: boolean;
  /** Number of the first record that is there: those before it are pruned, and the replay begins at the value that it says. */
  readonly from: number;
  /** Records that are there and in order, and the value that they lead to. */
  readonly records: number;
  readonly value: string;
  /** Records after the one that the quote or value shows: written later, not proved by it. */
  readonly beyond: number;
  readonly reason: Reason | null;
  readonly text: string;
}

/**
 * Replays a log, with the segments that belong before the file at `path`: from zero, or from the value that the checkpoint says with
 * which a pruned log begins. From no other value these records lead to the end; what was before them, and whether anything
 * was, is not shown: no digest covers a record's number. Says at which record it first disagrees where that can be told: a
 * record's own digest, or its number. Where only the end value differs, no record can be singled out.
 */
export async function verifyLog(path: string, pcr: number, expectation: Expectation): Promise<LogReport> {
  let torn = false;
  const { segments, boot, start } = await segmentsAt(path);
  const from = segments[0]!.from;
  let value = start;
  let end = from;
  let agreedAt: number | null = null;
  const report = (fields: Partial<LogReport>): LogReport => ({
    agrees: false,
    from,
    records: end - from,
    value: toHex(value),
    beyond: 0,
    reason: null,
    text: "",
    ...fields,
  });
  try {
    const matches = expected(expectation, pcr, boot);
    if (matches(value, end)) agreedAt = end;
    for await (const line of linesOf(segments)) {
      torn = !line.endsWith("\n");
      if (torn) break;
      const record = parseRecord(line.slice(0, -1), end);
      if (record.pcr !== pcr) throw new PimsError("log-broken", recordOfAnother(record, pcr));
      value = extendValue(value, record.digest);
      end++;
      if (matches(value, end)) agreedAt = end;
    }
  } catch (error) {
    if (error instanceof PimsError && isDisagreement(error.code))
      return report({ reason: error.code, text: error.message });
    throw error;
  }
  const rest = torn ? "; its last line is torn" : "";
  if (agreedAt === null)
    return report({
      reason: "pcr-mismatch",
      text: `none of the values that the ${end - from} records lead to is the expected one: a record was altered together with its digest, records are missing at the end, or the log is of another boot or TPM${rest}`,
    });
  const beyond = end - agreedAt;
  if (beyond > 0 && expectation.kind === "value")
    return report({
      beyond,
      reason: "pcr-mismatch",
      text: `the PCR stands at record ${agreedAt - 1}, and the log goes on to record ${end - 1}${rest}`,
    });
  const notes = [
    beyond > 0 ? `${beyond} records were written after the quote` : rest.slice(2),
    from > 0 ? `only the verifier can tell whether records before ${from} were proved and removed` : "",
  ];
  return report({ agrees: true, beyond, text: notes.filter((note) => note !== "").join("; ") });
}

function isDisagreement(code: string): code is "log-broken" | "quote-invalid" | "nonce-mismatch" {
  return ["log-broken", "quote-invalid", "nonce-mismatch"].includes(code);
}

function expected(expectation: Expectation, pcr: number, boot: BootEvent | null): ShowsValue {
  if (expectation.kind === "value") return (value) => bytesEqual(value, expectation.value);
  const { ak, attest, signature, nonce, others = new Map() } = expectation;
  const quote = verifyRegister({ publicArea: ak, attest, signature, nonce }, pcr, [...others.keys(), pcr]);
  if (quote.nv === null) return showsPcr(pcr, quote.pcrDigest, others);
  return showsNv(pcr, quote.nv, boot === null ? undefined : { recnum: 0, pcr, digest: "", events: [boot] });
}
