import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { PimsError } from "../core/errors.ts";

/** The page at `/` of a server on a unix socket. Rejects when it does not answer with status 200 within `timeoutMs`. */
export function fetchPage(socketPath: string, timeoutMs = 2000): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath, path: "/", agent: false, signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
          if (text.length > 1 << 20) outgoing.destroy(new PimsError("server-answer", "the page is larger than 1 MiB"));
        });
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) return resolve(text);
          reject(new PimsError("server-answer", `the server answered with status ${response.statusCode}`));
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/** Comes back at the first answer. Throws `server-silent` after `timeoutMs`. */
export async function waitForPage(socketPath: string, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return void (await fetchPage(socketPath));
    } catch (cause) {
      if (performance.now() > deadline) {
        throw new PimsError("server-silent", `no server answers at ${socketPath} after ${timeoutMs / 1000} s`, {
          cause,
        });
      }
      await sleep(20);
    }
  }
}
