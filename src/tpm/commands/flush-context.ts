import { execute } from "../command.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";

/** TPM2_FlushContext (part 3): unloads an object. Its handle is a parameter, unlike everywhere else. */
export async function flushContext(tpm: Tpm, handle: number): Promise<void> {
  const { parameters } = await execute(tpm, { name: "FlushContext", parameters: new WireWriter().u32(handle).done() });
  parameters.end();
}
