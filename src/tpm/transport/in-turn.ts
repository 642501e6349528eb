import { setTimeout as sleep } from "node:timers/promises";
import { PimsError } from "../../core/errors.ts";
import { describeResponseCode } from "../response-code.ts";
import { responseCodeOf, type TpmTransport } from "./transport.ts";

const MAX_ATTEMPTS = 12;

/**
 * Puts commands in a row: each begins when the one before it has ended, well or badly. One that the TPM did not carry out
 * and wants again (TPM_RC_RETRY, _YIELDED, _TESTING, _NV_RATE) is sent again in its own turn, for about three seconds, so
 * that none overtakes it; then that response is the answer. Closing waits for the last; afterwards `send` is refused.
 */
export function inTurn(transport: TpmTransport): TpmTransport {
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;
  return {
    send(command) {
      if (closed) return Promise.reject(new PimsError("tpm-unreachable", "the connection to the TPM is closed"));
      const turn = last.then(() => sendPatiently(transport, command));
      last = turn.catch(() => {});
      return turn;
    },
    async close() {
      closed = true;
      await last;
      await transport.close();
    },
  };
}

async function sendPatiently(transport: TpmTransport, command: Uint8Array): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt++) {
    const response = await transport.send(command);
    if (attempt >= MAX_ATTEMPTS || !describeResponseCode(responseCodeOf(response)).retry) return response;
    await sleep(Math.min(5 * 2 ** (attempt - 1), 500));
  }
}
