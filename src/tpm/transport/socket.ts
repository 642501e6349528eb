import { createConnection, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { concatBytes } from "../../core/bytes.ts";
import { errorCode, PimsError } from "../../core/errors.ts";
import { DEFAULT_TIMEOUT_MS, isWholeResponse, type TpmTransport } from "./transport.ts";

const MAX_SOCKET_PATH_BYTES = 107;

/** Where a swtpm listens: a path (`--server type=unixio,path=…`) or a port (`--server type=tcp,port=…`). */
export type SocketPlace = { readonly path: string } | { readonly host: string; readonly port: number };

/**
 * The server socket of a swtpm. It serves one connection at a time and lets the others wait, so every command has a
 * connection of its own: programs take turns, none can keep the TPM. What was loaded stays loaded. `timeoutMs` bounds
 * connecting; how long the answer may take is `inTurn`'s to say, and closing ends what still waits for one.
 */
export async function openSocket(place: SocketPlace, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<TpmTransport> {
  if ("path" in place) checkSocketPath(place.path);
  // Says at once when there is nobody.
  const probe = await connect(place, performance.now() + timeoutMs);
  probe.destroy();
  let current: Socket | undefined;
  let closed = false;
  return {
    async send(command) {
      current = await connect(place, performance.now() + timeoutMs);
      if (closed) current.destroy();
      return exchange(current, command, nameOf(place));
    },
    async close() {
      closed = true;
      current?.destroy();
    },
  };
}

function nameOf(place: SocketPlace): string {
  return "path" in place ? place.path : `${place.host} port ${place.port}`;
}

/** PimsError `tpm-unreachable` for a path that is too long for a unix socket (unix(7): 108 bytes with the final zero). */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw new PimsError("tpm-unreachable", `the path ${path} is too long for a unix socket`, {
      hint: `choose a folder with which it has at most ${MAX_SOCKET_PATH_BYTES} bytes`,
    });
}

async function exchange(socket: Socket, command: Uint8Array, name: string): Promise<Uint8Array> {
  try {
    return await new Promise<Uint8Array>((resolve, reject) => {
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
        reject(new PimsError("tpm-unreachable", `the TPM at ${name} failed (${errorCode(cause)})`, { cause })),
      );
      socket.on("close", () => {
        const problem = response.length === 0 ? "hung up" : `hung up after ${response.length} bytes of a response`;
        const code = response.length === 0 ? "tpm-unreachable" : "tpm-malformed";
        reject(new PimsError(code, `the TPM at ${name} ${problem}`));
      });
      socket.write(command);
    });
  } finally {
    socket.destroy();
  }
}

/** Connects, again and again while the queue of the socket is full (EAGAIN), until the deadline. */
async function connect(place: SocketPlace, deadline: number): Promise<Socket> {
  for (;;) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = createConnection({ ...place });
        // Far away, what is sent may vanish without an answer.
        const timer = setTimeout(
          () => socket.destroy(Object.assign(new Error("no answer in time"), { code: "ETIMEDOUT" })),
          Math.max(1, deadline - performance.now()),
        );
        socket.once("error", (error) => {
          clearTimeout(timer);
          reject(error);
        });
        socket.once("connect", () => {
          clearTimeout(timer);
          socket.removeAllListeners("error");
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
      throw new PimsError("tpm-unreachable", `the TPM at ${nameOf(place)} ${why}`, {
        hint: "check that swtpm is running there and that this user may use its socket",
        cause,
      });
    }
  }
}
