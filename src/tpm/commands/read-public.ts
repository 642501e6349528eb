import { execute } from "../command.ts";
import { MAX_NAME_BYTES } from "../constants.ts";
import type { Tpm } from "../tpm.ts";

export interface LoadedPublic {
  /** TPMT_PUBLIC, of any kind of object. */
  readonly publicArea: Uint8Array;
  readonly name: Uint8Array;
  readonly qualifiedName: Uint8Array;
}

const MAX_PUBLIC_BYTES = 1024;

/** TPM2_ReadPublic (part 3): the public area and names of a loaded or persistent object. */
export async function readPublic(tpm: Tpm, handle: number): Promise<LoadedPublic> {
  const { parameters } = await execute(tpm, { name: "ReadPublic", handles: [handle], parameters: new Uint8Array(0) });
  const publicArea = parameters.sized(MAX_PUBLIC_BYTES);
  const name = parameters.sized(MAX_NAME_BYTES);
  const qualifiedName = parameters.sized(MAX_NAME_BYTES);
  parameters.end();
  return { publicArea, name, qualifiedName };
}
