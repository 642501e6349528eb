import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { appendFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { deployRegistry } from "../deploy.ts";
import { createKey } from "../keys/keys.ts";
import { readBaseline } from "../read-baseline.ts";
import { openRpc } from "../rpc/rpc.ts";
import { temporaryFolder, testActions, testIdentity, testLines } from "../testing.ts";
import { type RunningChain, startAnvil } from "./anvil.ts";

const journalOf = (folder: string) => join(folder, "journal.jsonl");

/** A registry with one approved baseline, on a chain that is running. */
async function publish(url: string) {
  const [deployerKey, a, b] = [createKey(), createKey(), createKey()];
  const publishers = [a.address, b.address];
  const { address } = await deployRegistry({ url, deployerKey, publishers, quorum: 2 });
  const actions = testActions({ url, registry: address });
  const { id } = await actions.propose(a, testLines("kept", 10));
  await actions.approve(b, id);
  return { registry: address, id, a, b };
}

/** Processes that name `folder` in their arguments: the chain's, when there is one. */
function processesOf(folder: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`${folder}/run`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function start(t: TestContext, folder: string): Promise<RunningChain> {
  const chain = await startAnvil({ folder });
  t.after(() => chain.stop());
  return chain;
}

const startAndStop = async (options: { folder: string; port?: number }) => (await startAnvil(options)).stop();

/** A process of its own that runs the chain, as `pims ledger start` does. */
async function startElsewhere(t: TestContext, folder: string): Promise<{ url: string; child: ChildProcess }> {
  const script = `import { startAnvil } from ${JSON.stringify(new URL("./anvil.ts", import.meta.url).href)};
    console.log((await startAnvil({ folder: process.argv[1] })).url);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => void child.kill("SIGKILL"));
  const [line] = await once(child.stdout!, "data");
  return { url: String(line).trim(), child };
}

test("what was acknowledged survives kill -9, and nothing is left running", async (t) => {
  const folder = await temporaryFolder(t);
  const { url, child } = await startElsewhere(t, folder);
  const { registry, id } = await publish(url);
  const before = await openRpc(url).call("eth_getBlockByNumber", ["latest", false]);
  assert.equal(processesOf(folder).length, 1);
  child.kill("SIGKILL");
  await once(child, "exit");
  for (let waited = 0; processesOf(folder).length > 0 && waited < 2000; waited += 20) await sleep(20);
  assert.deepEqual(processesOf(folder), [], "the chain outlives its parent");

  const chain = await start(t, folder);
  assert.deepEqual(await openRpc(chain.url).call("eth_getBlockByNumber", ["latest", false]), before);
  const read = await readBaseline({ url: chain.url, registry, identity: testIdentity("kept") });
  assert.ok(read.status === "approved" && read.proposal.id === id);
});

test("refused transactions leave no trace in what is replayed", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await startAnvil({ folder });
  const rpc = openRpc(chain.url);
  const key = createKey();
  const sign = (nonce: number, chainId: bigint) =>
    key.signTransaction({
      type: "legacy",
      chainId: Number(chainId),
      nonce,
      gas: 21_000n,
      gasPrice: 0n,
      to: key.address,
    });
  for (let nonce = 0; nonce < 3; nonce++) {
    await assert.rejects(rpc.call("eth_sendRawTransaction", [await sign(nonce, 1n)]), { code: "ledger-refused" });
    await assert.rejects(rpc.call("eth_sendRawTransaction", [await sign(nonce + 1, chain.chainId)]));
    await rpc.call("eth_sendRawTransaction", [await sign(nonce, chain.chainId)]);
  }
  const before = await rpc.call("eth_getBlockByNumber", ["latest", false]);
  await chain.stop();
  const again = await start(t, folder);
  assert.deepEqual(await openRpc(again.url).call("eth_getBlockByNumber", ["latest", false]), before);
});

test("two chains are never the same, and stopping one leaves only its journal", async (t) => {
  const [one, two] = [await temporaryFolder(t), await temporaryFolder(t)];
  const chains = await Promise.all([startAnvil({ folder: one }), startAnvil({ folder: two })]);
  await Promise.all(chains.map((chain) => chain.stop()));
  assert.notEqual(chains[0]?.chainId, chains[1]?.chainId);
  assert.deepEqual(await readdir(one), ["journal.jsonl"]);
  assert.deepEqual(processesOf(one), []);
  const again = await start(t, one);
  assert.equal(again.chainId, chains[0]?.chainId);
});

test("a torn last line is cut, wherever it was torn; the chain goes on from there", async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startAnvil({ folder });
  const { registry, a, b } = await publish(first.url);
  await first.stop();
  const whole = await readFile(journalOf(folder));
  const lastLine = whole.lastIndexOf(10, whole.length - 2) + 1;
  for (const length of [lastLine + 1, lastLine + 100, whole.length - 1]) {
    await writeFile(journalOf(folder), whole.subarray(0, length));
    const chain = await startAnvil({ folder });
    try {
      const place = { url: chain.url, registry };
      const read = await readBaseline({ ...place, identity: testIdentity("kept") });
      assert.ok(read.status === "proposed", "the approval was the last line");
      await testActions(place).approve(b, read.proposal.id);
      await testActions(place).propose(a, testLines(`after ${length}`, 1));
    } finally {
      await chain.stop();
    }
    await startAndStop({ folder });
  }
});

test("what is cut off is gone, also when what comes after it is shorter", async (t) => {
  const folder = await temporaryFolder(t);
  const first = await startAnvil({ folder });
  const { registry, a } = await publish(first.url);
  await first.stop();
  const whole = await readFile(journalOf(folder));
  await appendFile(journalOf(folder), "x".repeat(100_000));
  const second = await startAnvil({ folder });
  try {
    assert.deepEqual(await readFile(journalOf(folder)), whole);
    await testActions({ url: second.url, registry }).propose(a, testLines("after", 1));
  } finally {
    await second.stop();
  }
  await startAndStop({ folder });
});

test("a torn first line is a chain that never began", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(journalOf(folder), '{"format":"pims.ledger-jour');
  await startAndStop({ folder });
  await startAndStop({ folder });
});

test("an altered journal is refused", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await startAnvil({ folder });
  await publish(chain.url);
  await chain.stop();
  const lines = (await readFile(journalOf(folder), "utf8")).trimEnd().split("\n");
  const edit = (index: number, change: (line: Record<string, unknown>) => object) =>
    lines.map((line, at) => (at === index ? JSON.stringify(change(JSON.parse(line))) : line));
  const flip = (hex: unknown) => String(hex).replace(/.$/, (digit) => (digit === "0" ? "1" : "0"));
  const alterations: Record<string, string[]> = {
    "a transaction's last digit": edit(2, (line) => ({ ...line, raw: flip(line.raw) })),
    "a block's time": edit(2, (line) => ({ ...line, time: Number(line.time) + 1 })),
    "a block's hash": edit(2, (line) => ({ ...line, hash: flip(line.hash) })),
    "a block's number": edit(2, (line) => ({ ...line, number: 7 })),
    "the chain's number": edit(0, (line) => ({ ...line, chainId: Number(line.chainId) + 1 })),
    "the first block's time": edit(0, (line) => ({ ...line, time: Number(line.time) - 1 })),
    "the first block's hash": edit(0, (line) => ({ ...line, hash: flip(line.hash) })),
    "another member": edit(1, (line) => ({ ...line, more: 1 })),
    "another format": edit(0, (line) => ({ ...line, format: "pims.ledger-journal/v2" })),
    "a line removed": lines.filter((_, index) => index !== 2),
    "a line twice": [...lines.slice(0, 3), ...lines.slice(2)],
    "two lines exchanged": [lines[0]!, lines[2]!, lines[1]!, ...lines.slice(3)],
    "no JSON": [...lines.slice(0, 2), "{", ...lines.slice(2)],
    "an empty line": [...lines.slice(0, 2), "", ...lines.slice(2)],
    "a line without end": [...lines.slice(0, 2), "x".repeat(400_000), ...lines.slice(2)],
    "a first line without end": ["x".repeat(10_000)],
  };
  for (const [name, altered] of Object.entries(alterations)) {
    await writeFile(journalOf(folder), `${altered.join("\n")}\n`);
    await assert.rejects(startAndStop({ folder }), { code: "ledger-journal-broken" }, name);
    assert.deepEqual(processesOf(folder), [], name);
  }
  await writeFile(journalOf(folder), `${lines.join("\n")}\n`);
  await startAndStop({ folder });
});

test("one process at a time has a folder, and a port that is taken is said", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await start(t, folder);
  await assert.rejects(startAndStop({ folder }), { code: "ledger-in-use" });
  const other = await temporaryFolder(t);
  const port = Number(new URL(chain.url).port);
  await assert.rejects(startAndStop({ folder: other, port }), { code: "port-in-use" });
  assert.deepEqual(processesOf(other), []);
  await startAndStop({ folder: other });
});

test("a folder whose path is too long for a socket is said", async (t) => {
  const folder = join(await temporaryFolder(t), "x".repeat(100));
  await assert.rejects(startAndStop({ folder }), { code: "anvil-failed", message: /too long/ });
});

test("when the disk is full, nothing is acknowledged and nothing more is served", async (t) => {
  const folder = join(await temporaryFolder(t), "disk");
  await mkdir(folder);
  assert.equal(spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", folder]).status, 0, "needs root");
  const unmount = () => assert.equal(spawnSync("umount", [folder]).status, 0);
  try {
    const chain = await startAnvil({ folder });
    const { a, registry } = await publish(chain.url);
    const actions = testActions({ url: chain.url, registry });
    await assert.rejects(actions.propose(a, testLines("too much", 1000)), { code: "ledger-unreachable" });
    await assert.rejects(openRpc(chain.url).call("eth_blockNumber", []), { code: "ledger-unreachable" });
    await chain.stop();
    const again = await startAnvil({ folder });
    const read = await readBaseline({ url: again.url, registry, identity: testIdentity("kept") });
    await again.stop();
    assert.equal(read.status, "approved");
  } finally {
    unmount();
  }
});

test("when anvil itself dies, clients hear that the chain does not answer", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await start(t, folder);
  for (const pid of processesOf(folder)) process.kill(pid, "SIGKILL");
  await assert.rejects(openRpc(chain.url).call("eth_blockNumber", []), { code: "ledger-unreachable" });
});

test("anvil is alone in its network, with no account of its own", async (t) => {
  const folder = await temporaryFolder(t);
  const chain = await start(t, folder);
  const [pid] = processesOf(folder);
  assert.notEqual(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync("/proc/self/ns/net"));
  assert.match(readFileSync(`/proc/${pid}/cmdline`, "latin1"), /--accounts.0./s);
  await assert.rejects(openRpc(chain.url).call("eth_accounts", []), { code: "ledger-refused" });
});
