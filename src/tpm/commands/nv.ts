import { bytesEqual, concatBytes } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";
import { execute, executePlainly } from "../command.ts";
import { MAX_NAME_BYTES, MAX_STRUCTURE_BYTES, TPM_PT, TPM_RH_OWNER } from "../constants.ts";
import type { Handle } from "../handle.ts";
import { type NvPublic, nvName, parseNvPublic, writeNvPublic } from "../nv-public.ts";
import { responseName } from "../response-code.ts";
import { type Authorization, EMPTY_PASSWORD } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";
import { getProperties } from "./get-capability.ts";

/** An NV index as the TPM has it. */
export interface NvIndex {
  readonly handle: number;
  readonly name: Uint8Array;
  readonly nvPublic: NvPublic;
}

/** Who uses an index: its own authorisation value unless another handle (owner) is given. */
export interface NvAccess {
  readonly by?: Handle;
  readonly authorization?: Authorization;
  readonly sessions?: readonly Authorization[];
}

/** TPM2_NV_DefineSpace (part 3), by the owner. */
export async function nvDefine(
  tpm: Tpm,
  nvPublic: NvPublic,
  authValue: Uint8Array = new Uint8Array(0),
  authorization: Authorization = EMPTY_PASSWORD,
): Promise<void> {
  await executePlainly(tpm, {
    name: "NV_DefineSpace",
    handles: [TPM_RH_OWNER],
    authorizations: [authorization],
    parameters: new WireWriter().sized(authValue).sized(writeNvPublic(nvPublic)).done(),
  });
}

/** TPM2_NV_UndefineSpace (part 3), by the owner. */
export async function nvUndefine(
  tpm: Tpm,
  index: Handle,
  authorization: Authorization = EMPTY_PASSWORD,
): Promise<void> {
  await executePlainly(tpm, {
    name: "NV_UndefineSpace",
    handles: [TPM_RH_OWNER, index],
    authorizations: [authorization],
    parameters: new Uint8Array(0),
  });
}

/** TPM2_NV_ReadPublic (part 3). Undefined when there is no such index. */
export async function nvReadPublic(tpm: Tpm, index: number): Promise<NvIndex | undefined> {
  try {
    const { parameters } = await execute(tpm, {
      name: "NV_ReadPublic",
      handles: [index],
      parameters: new Uint8Array(0),
    });
    const bytes = parameters.sized(MAX_STRUCTURE_BYTES);
    const name = parameters.sized(MAX_NAME_BYTES);
    parameters.end();
    const nvPublic = parseNvPublic(bytes);
    if (nvPublic.index !== index || !bytesEqual(name, nvName(bytes))) parameters.fail("it is of another NV index");
    return { handle: index, name, nvPublic };
  } catch (error) {
    if (responseName(error) === "TPM_RC_HANDLE") return undefined;
    throw error;
  }
}

/** All the data of an index, in as many TPM2_NV_Read (part 3) as the TPM needs. */
export async function nvRead(tpm: Tpm, index: NvIndex, access: NvAccess = {}): Promise<Uint8Array> {
  const { size } = index.nvPublic;
  const largest = await largestTransfer(tpm);
  let data: Uint8Array = new Uint8Array(0);
  while (data.length < size) {
    const wanted = Math.min(largest, size - data.length);
    const { parameters } = await execute(tpm, {
      ...using("NV_Read", index, access),
      parameters: new WireWriter().u16(wanted).u16(data.length).done(),
    });
    const some = parameters.sized(wanted);
    parameters.end();
    if (some.length !== wanted) parameters.fail(`${some.length} bytes where ${wanted} were asked for`);
    data = concatBytes(data, some);
  }
  return data;
}

/** Writes from `offset` on, in as many TPM2_NV_Write (part 3) as the TPM needs. The first write changes the index's Name. */
export async function nvWrite(
  tpm: Tpm,
  index: NvIndex,
  data: Uint8Array,
  access: NvAccess & { readonly offset?: number } = {},
): Promise<void> {
  const largest = await largestTransfer(tpm);
  let target: NvIndex = index;
  let done = 0;
  do {
    const part = data.subarray(done, done + largest);
    await executePlainly(tpm, {
      ...using("NV_Write", target, access),
      parameters: new WireWriter()
        .sized(part)
        .u16((access.offset ?? 0) + done)
        .done(),
    });
    done += part.length;
    if (done < data.length) target = (await nvReadPublic(tpm, index.handle)) ?? index;
  } while (done < data.length);
}

/**
 * TPM2_NV_Extend (part 3): new value = H(old value ‖ data), of an index of kind extend. As with a PCR: after no answer,
 * read it to know whether it happened.
 */
export async function nvExtend(tpm: Tpm, index: NvIndex, data: Uint8Array, access: NvAccess = {}): Promise<void> {
  await executePlainly(tpm, {
    ...using("NV_Extend", index, access),
    parameters: new WireWriter().sized(data).done(),
  });
}

/** TPM2_NV_Increment (part 3) of a counter. The first one sets it above every counter that this TPM ever had. */
export async function nvIncrement(tpm: Tpm, index: NvIndex, access: NvAccess = {}): Promise<void> {
  await executePlainly(tpm, { ...using("NV_Increment", index, access), parameters: new Uint8Array(0) });
}

function using<N extends "NV_Read" | "NV_Write" | "NV_Extend" | "NV_Increment">(
  name: N,
  index: NvIndex,
  access: NvAccess,
) {
  return {
    name,
    handles: [access.by ?? index, index],
    authorizations: [access.authorization ?? EMPTY_PASSWORD, ...(access.sessions ?? [])],
  };
}

async function largestTransfer(tpm: Tpm): Promise<number> {
  const largest = (await getProperties(tpm, TPM_PT.NV_BUFFER_MAX, 1)).get(TPM_PT.NV_BUFFER_MAX);
  if (largest === undefined || largest === 0)
    throw new PimsError("tpm-malformed", "the TPM does not say how much it reads or writes at once");
  return Math.min(largest, MAX_STRUCTURE_BYTES);
}
