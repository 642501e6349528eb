// Endpoints for tests: copies of a chain whose state can be rewritten, and servers that lie about one.
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EmbeddedChain } from "./embedded/embedded-chain.ts";
import { serveFront } from "./embedded/front.ts";
import { openRpc } from "./rpc/rpc.ts";
import type { Ending } from "./testing.ts";

export interface ChainNode {
  readonly url: string;
  /** anvil itself, with all the methods that its front keeps from others. */
  cheat(method: string, params: readonly unknown[]): Promise<unknown>;
}

/** Another node of the chain that `folder` keeps, as it is now or was so many blocks ago. */
export async function startNode(t: Ending, folder: string, { without = 0 } = {}): Promise<ChainNode> {
  const own = await mkdtemp(join(tmpdir(), "pims-ledger-"));
  t.after(() => rm(own, { recursive: true, force: true }));
  const journal = "journal.jsonl";
  await copyFile(join(folder, journal), join(own, journal));
  if (without > 0) {
    const lines = (await readFile(join(own, journal), "utf8")).trimEnd().split("\n");
    await writeFile(join(own, journal), `${lines.slice(0, -without).join("\n")}\n`);
  }
  const chain = await EmbeddedChain.start(own);
  t.after(() => chain.stop());
  const front = await serveFront(0, (method, params) => chain.request(method, params));
  t.after(() => front.close());
  return {
    url: front.url,
    async cheat(method, params) {
      const { result, error } = await chain.request(method, params);
      if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`);
      return result;
    },
  };
}

/** Takes a result and gives another. */
export type Lie = (method: string, result: unknown, params: unknown[]) => unknown;

/** An endpoint that passes requests on to another one, with other parameters if need be, and changes what comes back. */
export function lieAbout(
  t: Ending,
  url: string,
  lie: Lie,
  passOn: (method: string, params: unknown[]) => unknown[] = (_, params) => params,
): Promise<string> {
  const honest = openRpc(url);
  return serve(t, async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    const answer = await honest.request(method, passOn(method, params));
    const told = "result" in answer ? { result: await lie(method, answer.result, params) } : answer;
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...told }));
  });
}

/** A server on loopback that does with each request's body what it is told. */
export async function serve(t: Ending, handle: (body: string, response: ServerResponse) => unknown): Promise<string> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request as AsyncIterable<Buffer>) body += part.toString();
    await handle(body, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An answer without an end. */
export function pour(response: ServerResponse): void {
  const part = Buffer.alloc(64 * 1024, " ");
  const more = (): void => {
    while (!response.destroyed && response.write(part));
    if (!response.destroyed) response.once("drain", more);
  };
  more();
}
