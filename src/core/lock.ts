import { createServer } from "node:net";
import { errorCode, PimsError } from "./errors.ts";

/**
 * Lets one process at a time have what the name stands for. The lock is a listening abstract socket (unix(7)), which holds in
 * one network namespace: the kernel takes it back when the process ends, however it ends. Throws a PimsError of `taken` when
 * another process has it.
 */
export async function lockName(
  name: string,
  taken: { readonly code: string; readonly text: string; readonly hint: string },
): Promise<() => Promise<void>> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const { code, text, hint } = taken;
      reject(errorCode(cause) === "EADDRINUSE" ? new PimsError(code, text, { hint, cause }) : cause);
    });
    server.listen({ path: `\0pims-${name}` }, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => void server.close(() => resolve()));
}
