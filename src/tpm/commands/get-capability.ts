import { execute } from "../command.ts";
import { MAX_BANKS, TPM_CAP } from "../constants.ts";
import { type PcrSelection, readPcrSelections } from "../pcr-selection.ts";
import type { Tpm } from "../tpm.ts";
import { type WireReader, WireWriter } from "../wire.ts";

/** As many as fit a response of 1024 bytes, the TPM's own MAX_CAP_BUFFER; a TPM may return fewer. */
const PAGE = 128;
const MAX_PAGES = 64;

/** TPM properties from `first` on, by TPM_PT. Only those that the TPM has. */
export async function getProperties(tpm: Tpm, first: number, count: number): Promise<Map<number, number>> {
  const read = (reader: WireReader) => ({ key: reader.u32(), value: reader.u32() });
  const pairs = await list(tpm, TPM_CAP.TPM_PROPERTIES, first, read, ({ key }) => key, count);
  return new Map(pairs.map(({ key, value }) => [key, value]));
}

/** Algorithms that the TPM implements: TPM_ALG_ID → TPMA_ALGORITHM. */
export async function getAlgorithms(tpm: Tpm): Promise<Map<number, number>> {
  const read = (reader: WireReader) => ({ key: reader.u16(), value: reader.u32() });
  const pairs = await list(tpm, TPM_CAP.ALGS, 0, read, ({ key }) => key);
  return new Map(pairs.map(({ key, value }) => [key, value]));
}

/** Handles in use from `first` on, of its type (`FIRST_HANDLE`). */
export async function getHandles(tpm: Tpm, first: number): Promise<number[]> {
  return await list(
    tpm,
    TPM_CAP.HANDLES,
    first,
    (reader) => reader.u32(),
    (handle) => handle,
  );
}

/** Command codes that the TPM implements: TPM_CC → TPMA_CC. */
export async function getCommands(tpm: Tpm): Promise<Map<number, number>> {
  const all = await list(
    tpm,
    TPM_CAP.COMMANDS,
    0,
    (reader) => reader.u32(),
    (attributes) => attributes & 0xffff,
  );
  return new Map(all.map((attributes) => [attributes & 0xffff, attributes]));
}

/** Curves that the TPM implements (TPM_ECC_CURVE). */
export async function getCurves(tpm: Tpm): Promise<number[]> {
  return await list(
    tpm,
    TPM_CAP.ECC_CURVES,
    0,
    (reader) => reader.u16(),
    (curve) => curve,
  );
}

/** Banks that are allocated, with their PCRs; a bank without any is left out. */
export async function getPcrBanks(tpm: Tpm): Promise<PcrSelection[]> {
  const { data } = await page(tpm, TPM_CAP.PCRS, 0, MAX_BANKS);
  const banks = readPcrSelections(data);
  data.end();
  return banks.filter(({ pcrs }) => pcrs.length > 0);
}

/** Page after page of a list that rises; each must bring something new, so that no TPM can keep us here. */
async function list<T>(
  tpm: Tpm,
  capability: number,
  first: number,
  read: (reader: WireReader) => T,
  keyOf: (element: T) => number,
  wanted = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const all: T[] = [];
  let next = first;
  for (let pages = 0; ; pages++) {
    const { more, data } = await page(tpm, capability, next, Math.min(PAGE, wanted - all.length));
    for (let count = data.count(PAGE); count > 0; count--) {
      const element = read(data);
      const key = keyOf(element);
      if (key < next) data.fail("a list that does not rise");
      next = key + 1;
      all.push(element);
    }
    data.end();
    if (!more || all.length >= wanted) return all.slice(0, wanted);
    if (pages >= MAX_PAGES) data.fail("a list without an end");
  }
}

/** TPM2_GetCapability (part 3): TPMI_YES_NO moreData, then TPMS_CAPABILITY_DATA. */
async function page(tpm: Tpm, capability: number, property: number, count: number) {
  const command = new WireWriter().u32(capability).u32(property).u32(count).done();
  const { parameters: data } = await execute(tpm, { name: "GetCapability", parameters: command });
  const more = data.u8() !== 0;
  if (data.u32() !== capability) data.fail("it is about another capability");
  return { more, data };
}
