import { z } from "zod";
import { PimsError } from "../core/errors.ts";

/** NV indexes of the TPM's owner (TCG Registry of Reserved TPM 2.0 Handles); the one after it is its counter's. */
const FIRST_NV = 0x01800000;
const LAST_NV = 0x01bffffe;

const WANTED = "a PCR is a number from 0 to 16, an NV index nv:0x01800000 to nv:0x01bffffe";

/** Whether a register's handle is that of an NV index; else it is the index of a PCR. */
export function isNvIndex(handle: number): boolean {
  return handle >= FIRST_NV && handle <= LAST_NV;
}

/**
 * Index of a PCR that a log may be extended into. 13 is free on most hosts. 16 is for demonstrations: anybody on the host
 * can reset it, so records that no quote has shown yet can be dropped unseen. 17 and up are reset by localities or anybody.
 */
export const pcrIndexSchema = z.int({ error: WANTED }).min(0, WANTED).max(16, WANTED);

const nvIndexSchema = z
  .string()
  .regex(/^nv:0x0?1[0-9a-fA-F]{6}$/, WANTED)
  .transform((text) => Number(text.slice(3)))
  .refine(isNvIndex, WANTED);

/** The setting: a PCR, or an NV index written `nv:0x01800000`. Its value is the register's handle. */
export const pcrSchema = z.union([pcrIndexSchema, nvIndexSchema], { error: WANTED }).default(13);

/** The same as an option of a command, which also takes the PCRs that no log may be extended into. PimsError `usage`. */
export function parseRegister(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) < 24) return Number(text);
  const parsed = nvIndexSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new PimsError("usage", "a PCR is a number from 0 to 23, an NV index nv:0x01800000 to nv:0x01bffffe");
}
