import { execute, executePlainly } from "../command.ts";
import { MAX_STRUCTURE_BYTES } from "../constants.ts";
import type { Tpm } from "../tpm.ts";
import { WireReader, WireWriter } from "../wire.ts";

/** TPM2B_CONTEXT_DATA of the largest objects, of 4096-bit RSA keys. */
const MAX_CONTEXT_BYTES = 2 * MAX_STRUCTURE_BYTES;

/**
 * TPM2_ContextSave (part 3): a loaded key or session as a TPMS_CONTEXT that only this TPM loads again. The key also stays
 * loaded; a session leaves its place in the TPM.
 */
export async function contextSave(tpm: Tpm, handle: number): Promise<Uint8Array> {
  const { parameters } = await execute(tpm, {
    name: "ContextSave",
    handles: [handle],
    parameters: new Uint8Array(0),
  });
  const context = parameters.rest();
  parseContext(context);
  return context;
}

/** TPM2_ContextLoad (part 3). Returns the handle, a new one for a key. */
export async function contextLoad(tpm: Tpm, context: Uint8Array): Promise<number> {
  parseContext(context);
  const { handle, parameters } = await execute(tpm, {
    name: "ContextLoad",
    parameters: context,
    returnsHandle: true,
  });
  parameters.end();
  return handle;
}

/** TPM2_FlushContext (part 3): unloads a key or session. Its handle is a parameter, unlike everywhere else. */
export async function flushContext(tpm: Tpm, handle: number): Promise<void> {
  await executePlainly(tpm, { name: "FlushContext", parameters: new WireWriter().u32(handle).done() });
}

/** TPMS_CONTEXT (part 2): the sequence number, the handle that it had, its hierarchy, and what is the TPM's own. */
export function parseContext(context: Uint8Array): { sequence: bigint; savedHandle: number; hierarchy: number } {
  const reader = new WireReader(context, "saved context");
  const [sequence, savedHandle, hierarchy] = [reader.u64(), reader.u32(), reader.u32()];
  reader.sized(MAX_CONTEXT_BYTES);
  reader.end();
  return { sequence, savedHandle, hierarchy };
}
