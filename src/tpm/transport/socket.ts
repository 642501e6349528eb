import { createConnection, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { concatBytes } from "../../core/bytes.ts";
import { errorCode, PimsError } from "../../core/errors.ts";
import { DEFAULT_TIMEOUT_MS, isWholeResponse, Row, type TpmTransport } from "./transport.ts";

const MAX_SOCKET_PATH_BYTES = 107;

/**
 * The server socket of a swtpm (`--server type=unixio,path=…`). It serves one connection at a time and lets the others
 * wait, so every command has a connection of its own: programs take turns, none can keep the TPM. What was loaded stays
 * loaded. `timeoutMs` bounds one command with its wait for the turn.
 */
export async function openSocket(path: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<TpmTransport> {
  checkSocketPath(path);
  const row = new Row();
  // Says at once when there is nobody.
  const probe = await connect(path, performance.now() + timeoutMs);
  probe.destroy();
  return {
    send: (command) => row.enter(() => exchange(path, command, timeoutMs)),
    close: () => row.close(),
  };
}

/** PimsError `tpm-unreachable` for a path that is too long for a unix socket (unix(7): 108 bytes with the final zero). */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new PimsError("tpm-unreachable", `the path ${path} is too long for a unix socket`, {
      hint: `choose a folder with which it has at most ${MAX_SOCKET_PATH_BYTES} bytes`,
    });
}

async function exchange(path: string, command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
  const deadline = performance.now() + timeoutMs;
  const socket = await connect(path, deadline);
  try {
    return await new Promise<Uint8Array>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new PimsError("tpm-unreachable", `the TPM at ${path} did not answer within ${timeoutMs} ms`)),
        deadline - performance.now(),
      );
      let response: Uint8Array = new Uint8Array(0);
      socket.on("data", (chunk: Uint8Array) => {
        response = concatBytes(response, chunk);
        try {
          if (isWholeResponse(response)) resolve(response);
        } catch (error) {
          reject(error);
        }
      });
      socket.on("error", (cause) =>
        reject(new PimsError("tpm-unreachable", `the TPM at ${path} failed (${errorCode(cause)})`, { cause })),
      );
      socket.on("close", () => {
        clearTimeout(timer);
        const problem = response.length === 0 ? "hung up" : `hung up after ${response.length} bytes of a response`;
        const code = response.length === 0 ? "tpm-unreachable" : "tpm-malformed";
        reject(new PimsError(code, `the TPM at ${path} ${problem}`));
      });
      socket.write(command);
    });
  } finally {
    socket.destroy();
  }
}

/** Connects, again and again while the queue of the socket is full (EAGAIN), until the deadline. */
async function connect(path: string, deadline: number): Promise<Socket> {
  for (;;) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = createConnection({ path });
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.removeListener("error", reject);
          resolve(socket);
        });
      });
    } catch (cause) {
      const code = errorCode(cause);
      if (code === "EAGAIN" && performance.now() < deadline) {
        // At random, so that programs which wait do not meet again and again.
        await sleep(1 + Math.random() * 4);
        continue;
      }
      const why = code === "EAGAIN" ? "is busy with others" : `cannot be reached (${code})`;
      throw new PimsError("tpm-unreachable", `the TPM at ${path} ${why}`, {
        hint: "check that swtpm is running there and that this user may use its socket",
        cause,
      });
    }
  }
}
