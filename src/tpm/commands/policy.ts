import { type HashName, hashByName } from "../algorithms.ts";
import { execute, executePlainly } from "../command.ts";
import { type CommandName, MAX_DIGEST_BYTES, TPM_CC } from "../constants.ts";
import type { Handle } from "../handle.ts";
import { writePcrSelection } from "../pcr-selection.ts";
import { type Authorization, EMPTY_PASSWORD, type Session } from "../session.ts";
import type { Tpm } from "../tpm.ts";
import { WireWriter } from "../wire.ts";
import { readTicket } from "./create-primary.ts";

/** TPM2_PolicySecret (part 3): whoever uses the policy has shown that they know the authorisation of `handle`. */
export async function policySecret(
  tpm: Tpm,
  session: Session,
  handle: Handle,
  authorization: Authorization = EMPTY_PASSWORD,
): Promise<void> {
  const { parameters } = await execute(tpm, {
    name: "PolicySecret",
    handles: [handle, session.handle],
    authorizations: [authorization],
    // nonceTPM, cpHashA, policyRef, expiration
    parameters: new WireWriter().u16(0).u16(0).u16(0).u32(0).done(),
  });
  parameters.sized(MAX_DIGEST_BYTES); // timeout
  readTicket(parameters);
  parameters.end();
}

/** TPM2_PolicyPCR (part 3): the PCRs have the values that they have now, or whose digest is given. */
export async function policyPcr(
  tpm: Tpm,
  session: Session,
  pcrs: { readonly bank: HashName; readonly pcrs: readonly number[]; readonly digest?: Uint8Array },
): Promise<void> {
  const parameters = new WireWriter().sized(pcrs.digest ?? new Uint8Array(0));
  await executePlainly(tpm, {
    name: "PolicyPCR",
    handles: [session.handle],
    parameters: parameters.bytes(writePcrSelection(pcrs.bank, pcrs.pcrs)).done(),
  });
}

/** TPM2_PolicyCommandCode (part 3): for this command only. */
export async function policyCommandCode(tpm: Tpm, session: Session, command: CommandName): Promise<void> {
  await executePlainly(tpm, {
    name: "PolicyCommandCode",
    handles: [session.handle],
    parameters: new WireWriter().u32(TPM_CC[command]).done(),
  });
}

/** TPM2_PolicyNvWritten (part 3): the NV index that is used has been written to, or has not. */
export async function policyNvWritten(tpm: Tpm, session: Session, written: boolean): Promise<void> {
  await executePlainly(tpm, {
    name: "PolicyNvWritten",
    handles: [session.handle],
    parameters: new WireWriter().u8(written ? 1 : 0).done(),
  });
}

/** TPM2_PolicyNV (part 3): what the NV index holds compares so with `operand`. Read by the index's own authorisation. */
export async function policyNv(
  tpm: Tpm,
  session: Session,
  index: Handle,
  comparison: { readonly operand: Uint8Array; readonly operation: number },
): Promise<void> {
  await executePlainly(tpm, {
    name: "PolicyNV",
    handles: [index, index, session.handle],
    authorizations: [EMPTY_PASSWORD],
    parameters: new WireWriter().sized(comparison.operand).u16(0).u16(comparison.operation).done(),
  });
}

/** TPM2_PolicyOR (part 3): the session has gone through one of these policies. */
export async function policyOr(tpm: Tpm, session: Session, digests: readonly Uint8Array[]): Promise<void> {
  const parameters = new WireWriter().u32(digests.length);
  for (const digest of digests) parameters.sized(digest);
  await executePlainly(tpm, { name: "PolicyOR", handles: [session.handle], parameters: parameters.done() });
}

/** TPM2_PolicyAuthValue (part 3): the object's authorisation value is asked for, too. */
export async function policyAuthValue(tpm: Tpm, session: Session): Promise<void> {
  await executePlainly(tpm, {
    name: "PolicyAuthValue",
    handles: [session.handle],
    parameters: new Uint8Array(0),
  });
  session.policyNeedsAuthValue = true;
}

/** TPM2_PolicyGetDigest (part 3): what an object's authPolicy has to be for the policy that the session has gone through. */
export async function policyGetDigest(tpm: Tpm, session: Session): Promise<Uint8Array> {
  const { parameters } = await execute(tpm, {
    name: "PolicyGetDigest",
    handles: [session.handle],
    parameters: new Uint8Array(0),
  });
  const digest = parameters.sized(hashByName(session.hash).size);
  parameters.end();
  return digest;
}
