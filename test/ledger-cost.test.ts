// What docs/ledger-cost.md computes is what a real chain does, on a small scale.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { toRlp } from "viem";
import { qbftExtraData } from "../deploy/besu-qbft/make-genesis.ts";
import { computedTables, writtenTable } from "../scripts/ledger-cost.ts";
import { QBFT_HEADER_BYTES } from "../scripts/ledger-cost-model.ts";
import { simulateCheckpoint } from "../scripts/simulate-checkpoint.ts";
import { createPeople, simulate } from "../scripts/simulate-ledger.ts";
import { simulateReading } from "../scripts/simulate-reading.ts";
import { threadCpuMs } from "../src/core/clock.ts";
import { startAnvil } from "../src/ledger/embedded/anvil.ts";

test("the tables that are written down are those that are computed", async () => {
  for (const [name, text] of Object.entries(await computedTables()))
    assert.equal(await writtenTable(name), text, "run node scripts/ledger-cost.ts --write");
});

test("transactions, gas and bytes are what was computed, and a reader's requests are counted", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "pims-cost-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const chain = await startAnvil({ folder });
  t.after(() => chain.stop());
  const amounts = { images: 6, changes: 2, keys: 400, checkpoints: 3 };
  const { computed, measured, registry, identities, elsewhere } = await simulate(chain.url, createPeople(), amounts);
  assert.equal(measured.transactions, computed.transactions);
  const near = (what: "gas" | "bytes" | "receiptBytes", part: number) =>
    assert.ok(
      Math.abs(measured[what] / computed[what] - 1) < part,
      `${what}: ${measured[what]}, not ${computed[what]}`,
    );
  // A registry's first image and a reporter's first checkpoint cost 17 000 more.
  near("gas", 0.002);
  near("bytes", 0.001);
  near("receiptBytes", 0.001);
  const { first, again } = await simulateReading(chain.url, registry, identities, elsewhere);
  assert.ok(first.proofs > 2 * identities.length, "two proofs an image");
  assert.ok(again.proofs <= 2, `${again.proofs}: one a block while the registry does not change`);
  assert.ok(first.bytes > 2 * measured.receiptBytes * 0.8, "entries travel in hexadecimal");
});

test("a header with four validators and four seals weighs what was assumed", () => {
  const validators = Array.from({ length: 4 }, (_, index) => `0x${`${index + 1}`.repeat(40)}`);
  const seal = `0x${"1".repeat(130)}` as const;
  const word = `0x${"1".repeat(64)}` as const;
  // Its extraData as in the genesis block, and the seals: 67 bytes each in RLP, in a list of their own.
  const extraData = `${qbftExtraData(validators)}${"1".repeat(2 * (4 * 67 + 2))}` as `0x${string}`;
  assert.equal((toRlp([seal, seal, seal, seal]).length - 2) / 2, 4 * 67 + 3);
  const fields = [word, word, `0x${"1".repeat(40)}`, word, word, word, `0x${"1".repeat(512)}`, "0x01"] as const;
  const numbers = ["0x600000", "0x01c9c380", "0x100000", "0x6a000000"] as const;
  const header = toRlp([...fields, ...numbers, extraData, word, "0x0000000000000000", "0x"]);
  assert.ok(Math.abs((header.length - 2) / 2 - QBFT_HEADER_BYTES) < 10, `${(header.length - 2) / 2}`);
});

test("a checkpoint of ten thousand hosts keeps its verifier for seconds at most", async () => {
  const before = threadCpuMs();
  const { bytes } = await simulateCheckpoint(10_000, 5);
  const cpuMs = threadCpuMs() - before;
  assert.ok(cpuMs < 20_000, `${cpuMs} ms of a processor, the making of the hosts included`);
  assert.ok(bytes > 10_000_000 && bytes < 20_000_000, `${bytes}`);
});
