import { connect, type Socket } from "node:net";
import { PimsError } from "../../core/errors.ts";

/** JSON-RPC over a unix socket, one JSON text a line, as anvil's IPC speaks it. */
export interface LineRpc {
  /** Sends one request when all before it are answered; gives the answer's line. Throws `ledger-unreachable`. */
  send(request: { method: string; params: unknown }): Promise<{ result?: unknown; error?: unknown }>;
  close(): void;
}

/** An answer without an end, or none in time, ends the connection; one above the bound is left out. */
const defaults = { maxAnswerBytes: 32 * 1024 * 1024, deadlineMs: 30_000 };

/** Connects to the socket at `path`. Rejects with the system's error while nobody listens there. */
export async function openLineRpc(path: string, bounds: Partial<typeof defaults> = {}): Promise<LineRpc> {
  const { maxAnswerBytes, deadlineMs } = { ...defaults, ...bounds };
  const socket = await connected(path);
  let waiting: { resolve: (line: string | undefined) => void; reject: (error: PimsError) => void } | undefined;
  let parts: Buffer[] = [];
  let length = 0;
  let turn: Promise<unknown> = Promise.resolve();
  let lastId = 0;
  let failed: PimsError | undefined;

  const fail = (cause?: unknown): void => {
    failed ??= new PimsError("ledger-unreachable", "the embedded chain has stopped", { cause });
    socket.destroy();
    waiting?.reject(failed);
    waiting = undefined;
  };
  socket.on("error", fail);
  socket.on("close", () => fail());
  socket.on("data", (data: Buffer) => {
    length += data.length;
    if (length > maxAnswerBytes) parts = [];
    else parts.push(data);
    if (data.at(-1) !== 0x0a) return;
    const line = length > maxAnswerBytes ? undefined : Buffer.concat(parts).toString("utf8");
    parts = [];
    length = 0;
    waiting?.resolve(line);
    waiting = undefined;
  });

  const exchange = async (request: { method: string; params: unknown }) => {
    if (failed) throw failed;
    const id = ++lastId;
    const timer = setTimeout(fail, deadlineMs);
    try {
      const line = await new Promise<string | undefined>((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(JSON.stringify({ jsonrpc: "2.0", id, ...request }));
      });
      if (line === undefined) return { error: { code: -32005, message: "the answer is too large, ask for less" } };
      const answer = JSON.parse(line) as { id?: unknown; result?: unknown; error?: unknown };
      if (answer.id === id) return answer;
    } catch (error) {
      fail(error);
    } finally {
      clearTimeout(timer);
    }
    fail();
    throw failed ?? new PimsError("ledger-unreachable", "the embedded chain has stopped");
  };
  return {
    send(request) {
      const answer = turn.then(() => exchange(request));
      turn = answer.catch(() => {});
      return answer;
    },
    close: () => socket.destroy(),
  };
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}
