import { hash } from "node:crypto";
import { concatBytes } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";
import { type HashName, hashByName } from "../algorithms.ts";
import { type BootEvent, EV_NO_ACTION, type UnverifiedBootLog } from "./pc-client.ts";

const PCRS = 24;
/** PCR 17 to 22 start at all ones until a dynamic launch (TCG PC Client Platform TPM Profile, "PCR Attributes"). */
const DYNAMIC = { first: 17, last: 22 };
const STARTUP_LOCALITY = "StartupLocality\0";

/**
 * The values that PCR 0 to 23 of a bank have after a boot whose events are those of the log. PimsError `tpm-malformed`
 * when an event has no digest for this bank.
 */
export function replayBootLog(log: UnverifiedBootLog, bank: HashName): Map<number, Uint8Array> {
  const { size } = hashByName(bank);
  const initial = (pcr: number) => new Uint8Array(size).fill(pcr >= DYNAMIC.first && pcr <= DYNAMIC.last ? 0xff : 0);
  const values = new Map(Array.from({ length: PCRS }, (_, pcr) => [pcr, initial(pcr)]));
  for (const event of log.events) {
    if (event.type === EV_NO_ACTION) {
      const locality = startupLocality(event);
      // The TPM put its start's locality into PCR 0 before anything was extended (Library part 1, "Initializing PCR").
      if (locality !== undefined) values.get(0)![size - 1] = locality;
      continue;
    }
    const before = values.get(event.pcr);
    const digest = event.digests.get(bank);
    if (before === undefined || digest === undefined)
      throw new PimsError(
        "tpm-malformed",
        `malformed event log: an event of PCR ${event.pcr} without a ${bank} digest`,
      );
    values.set(event.pcr, new Uint8Array(hash(bank, concatBytes(before, digest), "buffer")));
  }
  return values;
}

function startupLocality({ pcr, data }: BootEvent): number | undefined {
  if (pcr !== 0 || data.length !== STARTUP_LOCALITY.length + 1) return undefined;
  return Buffer.from(data).toString("latin1", 0, STARTUP_LOCALITY.length) === STARTUP_LOCALITY
    ? data.at(-1)
    : undefined;
}
