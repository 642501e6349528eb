import { setTimeout as sleep } from "node:timers/promises";
import { PimsError } from "../../core/errors.ts";
import { describeResponseCode } from "../response-code.ts";
import { DEFAULT_TIMEOUT_MS, responseCodeOf, type TpmTransport } from "./transport.ts";

const MAX_ATTEMPTS = 12;

/**
 * Puts commands in a row: each begins when the one before it has ended, well or badly. One that the TPM did not carry out
 * and wants again (TPM_RC_RETRY, _YIELDED, _TESTING, _NV_RATE) is sent again in its own turn, for about three seconds, so
 * that none overtakes it; then that response is the answer.
 *
 * A command without an answer in `timeoutMs` is `tpm-unreachable` to its caller and still the TPM's: the next one begins
 * when its answer has come after all, which nobody is given, or its exchange has failed. Until then, for `timeoutMs`, it
 * waits, and is `tpm-unreachable` itself without having been sent. So what a later command reads, no earlier one changes.
 *
 * Closing waits for what was sent, not for an answer that is owed; afterwards `send` is refused.
 */
export function inTurn(transport: TpmTransport, timeoutMs = DEFAULT_TIMEOUT_MS): TpmTransport {
  let last: Promise<unknown> = Promise.resolve();
  let unanswered: Promise<unknown> | undefined;
  let closed = false;

  const exchange = async (command: Uint8Array): Promise<Uint8Array> => {
    if (unanswered !== undefined && !(await endsWithin(timeoutMs, unanswered)))
      throw new PimsError("tpm-unreachable", "the TPM still owes the answer to an earlier command");
    unanswered = undefined;
    const answer = transport.send(command);
    if (await endsWithin(timeoutMs, answer)) return answer;
    unanswered = answer.catch(() => {});
    throw new PimsError("tpm-unreachable", `the TPM did not answer within ${timeoutMs} ms`);
  };

  const patiently = async (command: Uint8Array): Promise<Uint8Array> => {
    for (let attempt = 1; ; attempt++) {
      const response = await exchange(command);
      if (attempt >= MAX_ATTEMPTS || !describeResponseCode(responseCodeOf(response)).retry) return response;
      await sleep(Math.min(5 * 2 ** (attempt - 1), 500));
    }
  };

  return {
    send(command) {
      if (closed) return Promise.reject(new PimsError("tpm-unreachable", "the connection to the TPM is closed"));
      const turn = last.then(() => patiently(command));
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

/** Whether it came to its end, well or badly, before `milliseconds` had passed. */
async function endsWithin(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, milliseconds, false);
  const ended = () => resolve(true);
  work.then(ended, ended);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
