import { z } from "zod";
import { bytesEqual } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { isNvIndex } from "./pcr.ts";
import type { LogRecord } from "./record.ts";
import { type Register, registerName } from "./register.ts";
import { extendValue, replay, ZERO_PCR } from "./replay.ts";

/**
 * What happened to a register that does not hold what the log leads to: another program extended it, or it was set back to
 * zero or to an earlier value. `since` is the last record at which it is known to have been right; null for none.
 */
export const registerFaultSchema = z.strictObject({
  kind: z.enum(["extended", "reset", "set-back"]),
  since: z.strictObject({ recnum: z.int().min(0), time: z.iso.datetime() }).nullable(),
});
export type RegisterFault = z.infer<typeof registerFaultSchema>;

/** PimsError `pcr-mismatch` with what happened. */
export class RegisterError extends PimsError {
  readonly fault: RegisterFault;

  constructor(fault: RegisterFault, message: string, cause?: unknown) {
    super("pcr-mismatch", message, { hint: WAY_OUT, cause });
    this.fault = fault;
  }
}

/** A PCR starts anew with the machine only. */
const WAY_OUT =
  "find what extends or resets it and boot anew, or give agent and verifier another register by their setting 'pcr'";

/** So many records back it is tried whether the register was set back to zero and extended again. */
const MAX_TRIED = 64;

/** Explains a value that is not the one that the digests lead to from `start`. */
export function faultKind(actual: Uint8Array, start: Uint8Array, digests: readonly string[]): RegisterFault["kind"] {
  if (bytesEqual(actual, ZERO_PCR)) return "reset";
  const latest = digests.slice(-MAX_TRIED);
  for (let first = 0; first < latest.length; first++)
    if (bytesEqual(replay(latest.slice(first)), actual)) return "reset";
  let value = start;
  for (const digest of digests) {
    if (bytesEqual(value, actual)) return "set-back";
    value = extendValue(value, digest);
  }
  return "extended";
}

/**
 * The last record at which an agent found its register right, as its log shows: it looks when it starts and after each
 * record of sweeps, and writes nothing more when the register is wrong.
 */
export class LastFoundRight {
  place: RegisterFault["since"] = null;
  #last: LogRecord | undefined;

  add(record: LogRecord): void {
    const started = record.events.some(({ type }) => type === "agent-start");
    if (this.#last !== undefined && (started || this.#last.events.some(({ type }) => type === "sweep")))
      this.place = { recnum: this.#last.recnum, time: this.#last.events.at(-1)!.time };
    this.#last = record;
  }
}

const WORDS = {
  extended: "was extended by another program",
  reset: "was set back to zero",
  "set-back": "was set back to an earlier value",
} as const;

/** "PCR 13 of the TPM was extended by another program after record 41 (2026-01-02T03:04:05.678Z)" */
export function describeFault(pcr: number, { kind, since }: RegisterFault): string {
  const after = since === null ? "" : ` after record ${since.recnum} (${since.time})`;
  const what = kind === "reset" && isNvIndex(pcr) ? "was deleted, or defined anew, by another program" : WORDS[kind];
  return `${registerName(pcr)} ${what}${after}`;
}

/** The register was used, and there is no log of this boot that could have led there. */
export function inUse(register: Register, why: string): RegisterError {
  const text = `${registerName(register.pcr)} is already in use, and ${why}: another program extends it, or the log was removed`;
  return new RegisterError({ kind: "extended", since: null }, text);
}

/**
 * A log on disk, these records from `start` on, does not lead to the register. One extend more and an altered log look the
 * same.
 */
export async function mismatch(
  register: Register,
  records: AsyncIterable<LogRecord>,
  start: Uint8Array,
  actual: Uint8Array,
): Promise<RegisterError> {
  const right = new LastFoundRight();
  const latest: string[] = [];
  let value = start;
  let count = 0;
  let wasHeld = false;
  for await (const record of records) {
    wasHeld ||= bytesEqual(value, actual);
    value = extendValue(value, record.digest);
    latest.push(record.digest);
    if (latest.length > MAX_TRIED) latest.shift();
    right.add(record);
    count = record.recnum + 1;
  }
  const kind = faultKind(actual, wasHeld ? actual : value, latest);
  const fault: RegisterFault = { kind, since: right.place };
  const doubt = kind === "extended" ? ", or the log was altered" : "";
  const text = `${describeFault(register.pcr, fault)}${doubt}: it does not match the log's ${count} records`;
  return new RegisterError(fault, text);
}

/** The setting was changed under a log of this boot. */
export function ofAnotherRegister(
  record: { recnum: number; pcr: number },
  register: Register,
  path: string,
): PimsError {
  const [theirs, ours] = [registerName(record.pcr), registerName(register.pcr)];
  const text = `record ${record.recnum} of the log ${path} is of ${theirs}, not of ${ours}`;
  return new PimsError("pcr-mismatch", text, {
    hint: "set 'pcr' as it was, or move the log away and let the host begin anew with 'pims host enroll HOST --anew'",
  });
}
