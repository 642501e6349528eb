// What the embedded chain has acknowledged is on the disk first: shown with an fsync(2) that is slow, and one that fails.
import assert from "node:assert/strict";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createKey } from "../keys/keys.ts";
import { openRpc } from "../rpc/rpc.ts";
import { temporaryFolder } from "../testing.ts";
import { startAnvil } from "./anvil.ts";

/** Has every fsync of this process done by `sync`, which may do it in truth by what it is given. */
async function instead(t: TestContext, sync: (really: () => Promise<void>) => Promise<void>): Promise<void> {
  const probe = await open("/dev/null");
  const files = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const real = files.sync;
  t.mock.method(files, "sync", function (this: FileHandle) {
    return sync(() => real.call(this));
  });
}

async function transfer(chainId: bigint): Promise<string> {
  const key = createKey();
  const to = key.address;
  const fields = { type: "legacy", chainId: Number(chainId), nonce: 0, gas: 21_000n, gasPrice: 0n, to } as const;
  return key.signTransaction(fields);
}

test("a transaction is acknowledged, and its block shown, after its line is on the disk", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await startAnvil({ folder });
  t.after(() => chain.stop());
  const rpc = openRpc(chain.url);
  const order: string[] = [];
  await instead(t, async (really) => {
    const text = await readFile(join(folder, "journal.jsonl"), "utf8");
    order.push(`fsync of ${text.trimEnd().split("\n").length - 1}`);
    await sleep(300);
    await really();
    order.push("on the disk");
  });
  const sent = rpc.call("eth_sendRawTransaction", [await transfer(chain.chainId)]).then(() => order.push("told"));
  await sleep(100);
  const shown = rpc.call("eth_blockNumber", []).then((block) => order.push(`block ${block}`));
  await Promise.all([sent, shown]);
  assert.deepEqual(order.slice(0, 2), ["fsync of 1", "on the disk"]);
  assert.deepEqual(order.slice(2).toSorted(), ["block 0x1", "told"]);
});

test("where fsync fails nothing is acknowledged, and nothing of it shown to anybody", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await startAnvil({ folder });
  t.after(() => chain.stop());
  const rpc = openRpc(chain.url);
  await instead(t, async () => {
    throw Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO" });
  });
  await assert.rejects(rpc.call("eth_sendRawTransaction", [await transfer(chain.chainId)]), {
    code: "ledger-unreachable",
  });
  await assert.rejects(rpc.call("eth_blockNumber", []), { code: "ledger-unreachable" });
  await assert.rejects(rpc.call("eth_getBlockByNumber", ["latest", false]), { code: "ledger-unreachable" });
});
