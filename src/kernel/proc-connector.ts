import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describeError, PimsError } from "../core/errors.ts";

export interface ExecEvents {
  /** Process ids that executed a program. `lost`: the kernel dropped events, only a whole sweep knows what happened. */
  onExec(pids: readonly number[], lost: boolean): void;
  onError(error: unknown): void;
}

/**
 * Listens to exec events of the whole machine. Needs CAP_NET_ADMIN in the initial user and network namespace; PimsError
 * `proc-connector` where the kernel refuses.
 */
export async function openProcConnector(events: ExecEvents): Promise<{ close(): Promise<void> }> {
  const worker = new Worker(new URL("./proc-connector-worker.ts", import.meta.url));
  let ready = false;
  try {
    await once(worker, "message");
    ready = true;
  } catch (cause) {
    throw new PimsError(
      "proc-connector",
      `the kernel's process events could not be subscribed to (${describeError(cause)})`,
      { cause },
    );
  } finally {
    if (!ready) await worker.terminate();
  }
  worker.on("message", (message: { executed: number[]; lost: boolean }) =>
    events.onExec(message.executed, message.lost),
  );
  worker.on("error", (error) => events.onError(error));
  worker.unref();
  return {
    async close() {
      worker.ref();
      const exited = once(worker, "exit");
      worker.postMessage("stop");
      await exited;
    },
  };
}
