import { setTimeout as sleep } from "node:timers/promises";
import { bytesEqual } from "../core/bytes.ts";
import { createPrimary, type LoadedKey } from "./commands/create-primary.ts";
import { getHandles } from "./commands/get-capability.ts";
import { readPublic } from "./commands/read-public.ts";
import { FIRST_HANDLE, TPM_RH_ENDORSEMENT } from "./constants.ts";
import { computeName, primaryQualifiedName } from "./name.ts";
import { responseName } from "./response-code.ts";
import type { Tpm } from "./tpm.ts";

/**
 * A primary key of the endorsement hierarchy that is loaded or persistent, by what its public area begins with (all of its
 * template before "unique"), a persistent one first. Undefined when there is none.
 */
export async function findLoadedPrimary(tpm: Tpm, prefix: Uint8Array): Promise<LoadedKey | undefined> {
  const handles = [FIRST_HANDLE.persistent, FIRST_HANDLE.transient].map((first) => getHandles(tpm, first));
  for (const handle of (await Promise.all(handles)).flat()) {
    try {
      const { publicArea, name, qualifiedName } = await readPublic(tpm, handle);
      // The qualified name tells a primary key from a child with the same template.
      const ours =
        bytesEqual(publicArea.subarray(0, prefix.length), prefix) &&
        bytesEqual(name, computeName(publicArea)) &&
        bytesEqual(qualifiedName, primaryQualifiedName(publicArea, TPM_RH_ENDORSEMENT));
      if (ours) return { handle, publicArea, name };
    } catch (error) {
      // Flushed by another program meanwhile, or a sequence object, which has no public area.
      const gone = ["TPM_RC_REFERENCE_H0", "TPM_RC_HANDLE", "TPM_RC_SEQUENCE"];
      if (!gone.includes(responseName(error) ?? "")) throw error;
    }
  }
  return undefined;
}

/** So long another program may have the last place for a key, which it needs for a moment only. */
const ROOM_ATTEMPTS = 40;
const ROOM_WAIT_MS = 50;

/**
 * Makes a primary key of the endorsement hierarchy. A TPM without a resource manager has places for three or so, which its
 * programs share: where there is none left, one is waited for, at most two seconds.
 */
export async function makePrimary(tpm: Tpm, template: Uint8Array): Promise<LoadedKey> {
  for (let attempt = 1; ; attempt++)
    try {
      return await createPrimary(tpm, TPM_RH_ENDORSEMENT, template);
    } catch (error) {
      if (responseName(error) !== "TPM_RC_OBJECT_MEMORY" || attempt === ROOM_ATTEMPTS) throw error;
      await sleep(ROOM_WAIT_MS);
    }
}

export function isTransient({ handle }: LoadedKey): boolean {
  return handle >= FIRST_HANDLE.transient && handle < FIRST_HANDLE.persistent;
}
