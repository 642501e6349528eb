import { chmod, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";

/** Where the agent is told of containers that are about to start, in its state folder. */
export const START_SOCKET = "gate.sock";
/** A process number and a line feed. */
const MAX_QUESTION = 16;
const MAX_CALLERS = 64;
const DEADLINE_MS = 5000;

/**
 * Listens for who starts containers (bin/pims-hook): they send the number of a container's first process, which waits, and
 * get `marked` when the gate has marked what that process has mounted, else `unmarked`. Each a line. Only root may
 * connect. Throws a system error where it cannot listen.
 */
export async function listenForStarts(
  state: string,
  mark: (pid: number) => Promise<boolean>,
): Promise<{ close(): Promise<void> }> {
  const path = join(state, START_SOCKET);
  // A killed agent leaves it behind; of two agents only one has the folder.
  await rm(path, { force: true });
  const callers = new Set<Socket>();
  const server = createServer((socket) => {
    callers.add(socket);
    socket.once("close", () => callers.delete(socket));
    answer(socket, mark);
  });
  server.maxConnections = MAX_CALLERS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of callers) socket.destroy();
      }),
  };
}

function answer(socket: Socket, mark: (pid: number) => Promise<boolean>): void {
  let question = "";
  socket.setTimeout(DEADLINE_MS, () => socket.destroy());
  // Whoever asked may have gone.
  socket.on("error", () => socket.destroy());
  const onData = (bytes: Buffer): void => {
    question += bytes.toString("latin1");
    if (!question.includes("\n") && question.length <= MAX_QUESTION) return;
    socket.off("data", onData);
    const pid = /^([1-9]\d{0,9})\n$/.exec(question)?.[1];
    if (pid === undefined) socket.end("unmarked\n");
    else
      void mark(Number(pid)).then(
        (marked) => socket.end(marked ? "marked\n" : "unmarked\n"),
        () => socket.destroy(),
      );
  };
  socket.on("data", onData);
}
