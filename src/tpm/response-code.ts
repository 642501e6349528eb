import { PimsError } from "../core/errors.ts";
import type { CommandName } from "./constants.ts";
import { FORMAT_ONE, FORMAT_ZERO, WARNINGS } from "./response-names.ts";

export const TPM_RC_SUCCESS = 0x000;
/** RC_VER1 + 0x000: the TPM has been started before. */
export const TPM_RC_INITIALIZE = 0x100;

/** What a format-one code is about; numbers start at 1, and 0 says that the TPM did not tell which. */
export interface ResponseSubject {
  readonly kind: "handle" | "session" | "parameter";
  readonly number: number;
}

/** A response code taken apart (TPM 2.0 Library part 2, "Response Code Formats"). */
export interface ResponseCode {
  readonly code: number;
  /** "TPM_RC_VALUE", or its hexadecimal number when it is not in the specification. */
  readonly name: string;
  readonly meaning: string;
  readonly subject: ResponseSubject | null;
  /** The command had no effect and the TPM asks to send it again. */
  readonly retry: boolean;
}

const RETRIED = new Set([0x908, 0x90a, 0x920, 0x922]);

/** Name and meaning of a response code that is not TPM_RC_SUCCESS. */
export function describeResponseCode(code: number): ResponseCode {
  // A kernel resource manager answers for the TPM with its layer's number above bit 15 (TSS 2.0, "TSS2_RC").
  const rc = code & 0xffff;
  const unknown = `0x${code.toString(16).padStart(8, "0")}`;
  const of = (entry: readonly [string, string] | undefined, subject: ResponseSubject | null): ResponseCode => ({
    code,
    name: entry ? `TPM_RC_${entry[0]}` : unknown,
    meaning: entry ? entry[1] : "a response code that the specification does not name",
    subject,
    retry: code === rc && RETRIED.has(rc),
  });
  if (rc === 0x01e) return of(["BAD_TAG", "the tag is not one of this TPM, as a TPM 1.2 answers"], null);
  // Bit 7 chooses the format; in format one bit 6 chooses parameter or, by bit 11, session or handle.
  if ((rc & 0x080) !== 0) return of(FORMAT_ONE[rc & 0x3f], subjectOf(rc));
  const vendor = (rc & 0x400) !== 0;
  const versionTwo = (rc & 0x100) !== 0;
  if (vendor || !versionTwo) return of(undefined, null);
  return of(((rc & 0x800) !== 0 ? WARNINGS : FORMAT_ZERO)[rc & 0x7f], null);
}

function subjectOf(rc: number): ResponseSubject {
  if ((rc & 0x040) !== 0) return { kind: "parameter", number: (rc >> 8) & 0xf };
  return { kind: (rc & 0x800) !== 0 ? "session" : "handle", number: (rc >> 8) & 0x7 };
}

/** PimsError `tpm-error`: the command, the code's name, what it is about and what it means. `cause` is the ResponseCode. */
export function tpmError(command: CommandName, code: number): PimsError {
  const response = describeResponseCode(code);
  const { name, meaning, subject } = response;
  const about = subject === null ? "" : ` for ${subject.kind}${subject.number > 0 ? ` ${subject.number}` : ""}`;
  return new PimsError("tpm-error", `TPM2_${command}: ${name}${about}, ${meaning}`, { cause: response });
}

/** The response code's name (`TPM_RC_…`) when `error` is a `tpm-error` that a TPM sent, otherwise undefined. */
export function responseName(error: unknown): string | undefined {
  if (!(error instanceof PimsError) || error.code !== "tpm-error") return undefined;
  const cause = error.cause;
  return typeof cause === "object" && cause !== null && "name" in cause ? String(cause.name) : undefined;
}
