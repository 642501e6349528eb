import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inflateSync } from "node:zlib";
import { toHex } from "../core/bytes.ts";
import { proposeBaseline } from "./propose.ts";
import { readBaseline } from "./read-baseline.ts";
import { openRpc } from "./rpc/rpc.ts";
import { maxTransactionBytes } from "./send.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "./testing.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
let id: string;
let transactions: number;
const lines = testLines("large", 2000);

before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  ({ id, transactions } = await proposeBaseline({ ...ledger.place, key: ledger.publishers[0], lines }));
  await actions.approve(ledger.publishers[1], id);
});

interface RawBlock {
  transactions: { hash: string; input: string }[];
}

async function blocks(): Promise<RawBlock[]> {
  const rpc = openRpc(ledger.chain.url);
  const latest = Number(await rpc.call("eth_blockNumber", []));
  const numbers = Array.from({ length: latest }, (_, index) => `0x${(index + 1).toString(16)}`);
  return Promise.all(numbers.map((number) => rpc.call("eth_getBlockByNumber", [number, true]) as Promise<RawBlock>));
}

test("the chain alone rebuilds a baseline of 2000 entries, line for line", async () => {
  assert.ok(transactions >= 3, "its data needs several transactions");
  const read = await readBaseline({ ...ledger.place, identity: testIdentity("large") });
  assert.ok(read.status === "approved");
  assert.deepEqual(read.baseline.lines, lines);
});

test("no transaction is larger than 96 KiB", async () => {
  const sizes = (await blocks()).flatMap((block) => block.transactions.map(({ input }) => (input.length - 2) / 2));
  // What surrounds the input of a legacy transaction (nonce, gas, address, signature, RLP) is below 130 bytes.
  assert.ok(Math.max(...sizes) + 130 <= maxTransactionBytes, `${Math.max(...sizes)}`);
  assert.ok(Math.max(...sizes) > 90_000, "and the bound is used");
});

test("whoever knows only the chain's rules finds the same: event data, zlib, lines", async () => {
  const logs = (await openRpc(ledger.chain.url).call("eth_getLogs", [
    { address: ledger.place.registry, fromBlock: "0x0", toBlock: "latest", topics: [null, id] },
  ])) as { data: string; topics: string[] }[];
  // BaselineData is the only event with an id and a number: three topics, and bytes as its data.
  const pieces = logs
    .filter(({ topics, data }) => topics.length === 3 && data.length > 1000)
    .map(({ data }) => Buffer.from(data.slice(2), "hex"))
    .map((data) => data.subarray(64, 64 + data.readUInt32BE(60)));
  assert.equal(inflateSync(Buffer.concat(pieces)).toString(), `${lines.join("\n")}\n`);
});

test("the root on the chain is the one that an independent RFC 9162 tree computes", async () => {
  const python = join(import.meta.dirname, "../../.cache/venv/bin/python");
  assert.ok(existsSync(python), "pymerkle is not installed: run sh scripts/setup test");
  const program = [
    "import sys",
    "from pymerkle import InmemoryTree",
    "tree = InmemoryTree(algorithm='sha256')",
    "for line in sys.stdin.buffer.read().split(b'\\n')[:-1]: tree.append_entry(line)",
    "print(tree.get_state().hex())",
  ].join("\n");
  const computed = (leaves: readonly string[]): string => {
    const input = leaves.map((line) => `${line}\n`).join("");
    const { status, stdout, stderr } = spawnSync(python, ["-c", program], { input, encoding: "utf8", timeout: 20_000 });
    assert.equal(status, 0, `pymerkle does not run, run sh scripts/setup test: ${stderr}`);
    return stdout.trim();
  };
  const read = await readBaseline({ ...ledger.place, identity: testIdentity("large") });
  assert.ok(read.status === "approved");
  assert.equal(computed(lines), toHex(read.baseline.root));
  assert.notEqual(computed(lines.slice(1)), toHex(read.baseline.root));
});
