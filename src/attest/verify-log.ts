import { bytesEqual, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import { readLog } from "../log/read-log.ts";
import { parseRecord } from "../log/record.ts";
import { recordOfAnother } from "../log/register.ts";
import { extendValue, ZERO_PCR } from "../log/replay.ts";
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
  /** Records that are in order, and the value that they lead to. */
  readonly records: number;
  readonly value: string;
  /** Records after the one that the quote or value shows: written later, not proved by it. */
  readonly beyond: number;
  readonly reason: Reason | null;
  readonly text: string;
}

/**
 * Replays a log file from zero. Says at which record it first disagrees where that can be told: a record's own digest, or
 * its number. Where only the end value differs, no record can be singled out.
 */
export async function verifyLog(path: string, pcr: number, expectation: Expectation): Promise<LogReport> {
  let torn = "";
  let value = ZERO_PCR;
  let records = 0;
  let agreedAt: number | null = null;
  const report = (fields: Partial<LogReport>): LogReport => ({
    agrees: false,
    records,
    value: toHex(value),
    beyond: 0,
    reason: null,
    text: "",
    ...fields,
  });
  try {
    const log = await readLog(path);
    torn = log.torn;
    const matches = expected(expectation, pcr, log.lines[0]);
    if (matches(value, 0)) agreedAt = 0;
    for (const [index, line] of log.lines.entries()) {
      const record = parseRecord(line, index);
      if (record.pcr !== pcr) throw new PimsError("log-broken", recordOfAnother(record, pcr));
      value = extendValue(value, record.digest);
      records = index + 1;
      if (matches(value, records)) agreedAt = records;
    }
  } catch (error) {
    if (error instanceof PimsError && isDisagreement(error.code))
      return report({ reason: error.code, text: error.message });
    throw error;
  }
  const rest = torn === "" ? "" : "; its last line is torn";
  if (agreedAt === null)
    return report({
      reason: "pcr-mismatch",
      text: `none of the values that the ${records} records lead to is the expected one: a record was altered together with its digest, records are missing at the end, or the log is of another boot or TPM${rest}`,
    });
  const beyond = records - agreedAt;
  if (beyond > 0 && expectation.kind === "value")
    return report({
      beyond,
      reason: "pcr-mismatch",
      text: `the PCR stands at record ${agreedAt - 1}, and the log goes on to record ${records - 1}${rest}`,
    });
  return report({
    agrees: true,
    beyond,
    text: beyond > 0 ? `${beyond} records were written after the quote` : rest.slice(2),
  });
}

function isDisagreement(code: string): code is "log-broken" | "quote-invalid" | "nonce-mismatch" {
  return ["log-broken", "quote-invalid", "nonce-mismatch"].includes(code);
}

function expected(expectation: Expectation, pcr: number, firstLine: string | undefined): ShowsValue {
  if (expectation.kind === "value") return (value) => bytesEqual(value, expectation.value);
  const { ak, attest, signature, nonce, others = new Map() } = expectation;
  const quote = verifyRegister({ publicArea: ak, attest, signature, nonce }, pcr, [...others.keys(), pcr]);
  if (quote.nv === null) return showsPcr(pcr, quote.pcrDigest, others);
  return showsNv(pcr, quote.nv, firstLine === undefined ? undefined : parseRecord(firstLine, 0));
}
