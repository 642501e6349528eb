import { bytesEqual } from "../../core/bytes.ts";
import { execute } from "../command.ts";
import { MAX_NAME_BYTES } from "../constants.ts";
import type { Handle } from "../handle.ts";
import { computeName } from "../name.ts";
import { type Authorization, EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";
import type { CreatedKey } from "./create.ts";
import type { LoadedKey } from "./create-primary.ts";

/** TPM2_Load (part 3): loads a created key below its parent. It stays loaded until it is flushed. */
export async function load(
  tpm: Tpm,
  parent: Handle,
  { privateArea, publicArea }: CreatedKey,
  authorization: Authorization = EMPTY_PASSWORD,
): Promise<LoadedKey> {
  const { handle, parameters } = await execute(tpm, {
    name: "Load",
    handles: [parent],
    authorizations: [authorization],
    parameters: new WireWriter().sized(privateArea).sized(publicArea).done(),
    returnsHandle: true,
  });
  const name = parameters.sized(MAX_NAME_BYTES);
  parameters.end();
  if (!bytesEqual(name, computeName(publicArea))) parameters.fail("the name is not the key's");
  return { handle, publicArea, name };
}
