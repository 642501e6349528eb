/** The TPM register that the log is extended into. */
export interface Register {
  /** Index of the PCR. */
  readonly pcr: number;
  /** The value after every extend that was called before, also after one without an answer; or it throws. */
  read(): Promise<Uint8Array>;
  extend(digest: string): Promise<void>;
}

/** For a sentence: "PCR 13 of the TPM". */
export function registerName(pcr: number): string {
  return `PCR ${pcr} of the TPM`;
}
