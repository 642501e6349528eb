import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { temporaryFolder } from "../testing.ts";
import { openLineRpc } from "./line-rpc.ts";

const bounds = { maxAnswerBytes: 1000, deadlineMs: 300 };

/** A peer that answers the n-th request by the n-th text, in pieces of `piece` bytes. */
async function peer(t: TestContext, answers: readonly string[], piece = 1_000_000) {
  const path = join(await temporaryFolder(t), "s");
  const sockets: Socket[] = [];
  let next = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("data", () => {
      const text = answers[next++] ?? "";
      for (let at = 0; at < text.length; at += piece) socket.write(text.slice(at, at + piece));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { rpc: await openLineRpc(path, bounds), sockets };
}

const request = { method: "m", params: [] };
const answer = (id: number, result: unknown) => `${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`;
const stopped = { code: "ledger-unreachable" };

test("requests are answered in order, also when an answer comes in pieces", async (t) => {
  for (const piece of [1, 7, 1_000_000]) {
    const { rpc } = await peer(t, [answer(1, "a"), answer(2, "ü"), answer(3, "c")], piece);
    const results = await Promise.all([rpc.send(request), rpc.send(request), rpc.send(request)]);
    assert.deepEqual(
      results.map(({ result }) => result),
      ["a", "ü", "c"],
    );
    rpc.close();
  }
});

test("an answer above the bound is left out, and the next one is read", async (t) => {
  const { rpc } = await peer(t, [answer(1, "x".repeat(50_000)), answer(2, "b")], 900);
  assert.match(JSON.stringify((await rpc.send(request)).error), /too large/);
  assert.equal((await rpc.send(request)).result, "b");
  rpc.close();
});

test("another id, no JSON, silence and an answer without end stop it for good", async (t) => {
  for (const text of [answer(2, "a"), "{\n", "null\n", "", "endless"]) {
    const { rpc } = await peer(t, [text]);
    await assert.rejects(rpc.send(request), stopped, text);
    await assert.rejects(rpc.send(request), stopped, text);
  }
});

test("a peer that goes away stops it, also in the middle of an answer", async (t) => {
  const { rpc, sockets } = await peer(t, ["{"]);
  const pending = rpc.send(request);
  setTimeout(() => sockets[0]?.destroy(), 50);
  await assert.rejects(pending, stopped);
  await assert.rejects(rpc.send(request), stopped);
});

test("nobody listening is the system's own error", async (t) => {
  await assert.rejects(openLineRpc(join(await temporaryFolder(t), "nothing")), { code: "ENOENT" });
});
