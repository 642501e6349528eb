import { setTimeout as sleep } from "node:timers/promises";
import { flushContext } from "./commands/context.ts";
import { getHandles } from "./commands/get-capability.ts";
import { startSession } from "./commands/start-session.ts";
import { FIRST_HANDLE } from "./constants.ts";
import { responseName } from "./response-code.ts";
import type { Session } from "./session.ts";
import type { Tpm } from "./tpm.ts";

/** A program that lives needs its session for a few commands. */
const ROOM_ATTEMPTS = 5;
const ROOM_WAIT_MS = 30;

/**
 * Starts a session for a policy. A TPM without a resource manager has room for three or so, and keeps those of programs that
 * were killed: where there is none left and none comes free, all that are loaded are flushed. With a resource manager
 * (`/dev/tpmrm0`) nobody sees another's.
 */
export async function startPolicySession(tpm: Tpm): Promise<Session> {
  for (let attempt = 1; ; attempt++)
    try {
      return await startSession(tpm, { kind: "policy" });
    } catch (error) {
      if (responseName(error) !== "TPM_RC_SESSION_MEMORY" || attempt > ROOM_ATTEMPTS) throw error;
      if (attempt < ROOM_ATTEMPTS) await sleep(ROOM_WAIT_MS);
      else await flushSessions(tpm);
    }
}

async function flushSessions(tpm: Tpm): Promise<void> {
  // Another program may be doing the same.
  for (const handle of await getHandles(tpm, FIRST_HANDLE.loadedSession))
    await flushContext(tpm, handle).catch(() => {});
}
