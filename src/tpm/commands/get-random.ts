import { concatBytes } from "../../core/bytes.ts";
import { execute } from "../command.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/** Exactly `length` bytes of the TPM's random numbers. It gives a digest's length at a time (part 3, "TPM2_GetRandom"). */
export async function getRandom(tpm: Tpm, length: number): Promise<Uint8Array> {
  let bytes: Uint8Array = new Uint8Array(0);
  while (bytes.length < length) {
    const wanted = Math.min(length - bytes.length, 64);
    const { parameters } = await execute(tpm, { name: "GetRandom", parameters: new WireWriter().u16(wanted).done() });
    const some = parameters.sized(wanted);
    if (some.length === 0) parameters.fail("no random bytes");
    parameters.end();
    bytes = concatBytes(bytes, some);
  }
  return bytes;
}
