import { flushContext } from "./commands/context.ts";
import { getHandles } from "./commands/get-capability.ts";
import { startSession } from "./commands/start-session.ts";
import { FIRST_HANDLE } from "./constants.ts";
import { responseName } from "./response-code.ts";
import type { Session } from "./session.ts";
import type { Tpm } from "./tpm.ts";

/**
 * Starts a session for a policy. A TPM without a resource manager keeps the sessions of programs that were killed, and has
 * room for few: where there is none left, all that are loaded are flushed. A program that lives and loses its session so
 * has to begin again; with a resource manager (`/dev/tpmrm0`) nobody sees another's.
 */
export async function startPolicySession(tpm: Tpm): Promise<Session> {
  try {
    return await startSession(tpm, { kind: "policy" });
  } catch (error) {
    if (responseName(error) !== "TPM_RC_SESSION_MEMORY") throw error;
    // Another program may be doing the same.
    for (const handle of await getHandles(tpm, FIRST_HANDLE.loadedSession))
      await flushContext(tpm, handle).catch(() => {});
    return await startSession(tpm, { kind: "policy" });
  }
}
