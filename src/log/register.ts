import type { BootEvent } from "./event.ts";
import { isNvIndex } from "./pcr.ts";

/** The TPM register that the log is extended into. */
export interface Register {
  /** Its handle: the index of a PCR, or of an NV index. */
  readonly pcr: number;
  /** The value after every extend that was called before, also after one without an answer; or it throws. */
  read(): Promise<Uint8Array>;
  extend(digest: string): Promise<void>;
  /** Of an NV index: makes it ready for a new log, whose first record says what comes back. */
  begin?(): Promise<NvBeginning>;
  /** Of an NV index: goes on with a log that said this. Another index in its place then counts as none. */
  goOn?(beginning: NvBeginning): void;
}

/** At which count of its counter the NV index began that the log is extended into. */
export type NvBeginning = NonNullable<BootEvent["nv"]>;

/** For a sentence: "PCR 13 of the TPM". */
export function registerName(handle: number): string {
  return `${shortRegisterName(handle)} of the TPM`;
}

/** "PCR 13" */
function shortRegisterName(handle: number): string {
  return isNvIndex(handle) ? `NV index 0x${handle.toString(16).padStart(8, "0")}` : `PCR ${handle}`;
}

/** "record 3 is of PCR 14, not 13" */
export function recordOfAnother(record: { recnum: number; pcr: number }, handle: number): string {
  const wanted = isNvIndex(record.pcr) || isNvIndex(handle) ? shortRegisterName(handle) : handle;
  return `record ${record.recnum} is of ${shortRegisterName(record.pcr)}, not ${wanted}`;
}
