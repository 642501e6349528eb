import { PimsError } from "../../core/errors.ts";
import { type HashName, hashByName } from "../algorithms.ts";
import { execute } from "../command.ts";
import { MAX_DIGESTS } from "../constants.ts";
import { readPcrSelections, writePcrSelection } from "../pcr-selection.ts";
import { responseName } from "../response-code.ts";
import type { Tpm } from "../tpm.ts";

const MAX_RESTARTS = 16;

/**
 * Values of PCRs of one bank, by index. A TPM answers for eight at most (part 3, "TPM2_PCR_Read"); the rest is asked for
 * again, and all again if a PCR was extended in between, so that the values are of one instant. (On a PC's TPM the extends
 * of PCR 16 and 21 to 23 go unnoticed.)
 * PimsError `tpm-bank-missing` when the TPM works and has no such PCR or bank.
 */
export async function pcrRead(tpm: Tpm, bank: HashName, pcrs: readonly number[]): Promise<Map<number, Uint8Array>> {
  for (let restarts = 0; restarts < MAX_RESTARTS; restarts++) {
    const values = await readAll(tpm, bank, pcrs);
    if (values !== undefined) return values;
  }
  throw new PimsError("tpm-error", "the PCRs change faster than they can be read");
}

/** Undefined when the PCRs changed on the way. */
async function readAll(
  tpm: Tpm,
  bank: HashName,
  pcrs: readonly number[],
): Promise<Map<number, Uint8Array> | undefined> {
  const values = new Map<number, Uint8Array>();
  const missing = new Set(pcrs);
  let counter: number | undefined;
  while (missing.size > 0) {
    const part = await readSome(tpm, bank, missing);
    counter ??= part.updateCounter;
    if (part.updateCounter !== counter) return undefined;
    if (part.values.size === 0) throw bankMissing(bank, missing);
    for (const [pcr, value] of part.values) {
      values.set(pcr, value);
      missing.delete(pcr);
    }
  }
  return new Map([...values].sort(([a], [b]) => a - b));
}

function bankMissing(bank: HashName, pcrs: Iterable<number>, cause?: unknown): PimsError {
  return new PimsError("tpm-bank-missing", `the TPM has no PCR ${[...pcrs].join(", ")} of ${bank}`, {
    hint: "'pims tpm info' lists the banks that it has; 'tpm2_pcrallocate' gives it others, from the next reboot on",
    cause,
  });
}

async function readSome(tpm: Tpm, bank: HashName, pcrs: ReadonlySet<number>) {
  const { parameters } = await execute(tpm, { name: "PCR_Read", parameters: writePcrSelection(bank, pcrs) }).catch(
    (error: unknown) => {
      // A TPM that does not know the bank's algorithm at all.
      throw responseName(error) === "TPM_RC_HASH" ? bankMissing(bank, pcrs, error) : error;
    },
  );
  const updateCounter = parameters.u32();
  const read = readPcrSelections(parameters).flatMap((selection) => {
    if (selection.bank !== bank && selection.pcrs.length > 0) parameters.fail("it is of another bank");
    return selection.pcrs;
  });
  const values = new Map<number, Uint8Array>();
  const count = parameters.count(MAX_DIGESTS);
  if (count !== read.length) parameters.fail(`${count} values for ${read.length} PCRs`);
  for (const pcr of read) {
    const value = parameters.sized(hashByName(bank).size);
    if (value.length !== hashByName(bank).size || !pcrs.has(pcr)) parameters.fail(`an answer that was not asked for`);
    values.set(pcr, value);
  }
  parameters.end();
  return { updateCounter, values };
}
