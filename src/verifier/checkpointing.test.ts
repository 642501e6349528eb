import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Address } from "viem";
import { manyHosts } from "../../scripts/simulate-checkpoint.ts";
import { codeEvent, startEvent } from "../attest/sample-events.ts";
import { TestHost, temporaryFolder } from "../attest/testing.ts";
import { systemClock } from "../core/clock.ts";
import { checkpointRoot, isInCheckpoint, nextCheckpoint, proveLine, readCheckpoint } from "../ledger/checkpoints.ts";
import { countSlot } from "../ledger/contract/checkpoints-storage.ts";
import { deployContract } from "../ledger/deploy.ts";
import { readHosts } from "../ledger/host-registry.ts";
import { createKey } from "../ledger/keys/keys.ts";
import { openLedger } from "../ledger/open-ledger.ts";
import { openRpc } from "../ledger/rpc/rpc.ts";
import { ending, startTestLedger, type TestLedger } from "../ledger/testing.ts";
import { lieAbout, serve, startNode } from "../ledger/testing-endpoints.ts";
import { endingOf } from "../ledger/testing-proved-ledger.ts";
import { akNameOf } from "./checkpoint-lines.ts";
import { Checkpointing } from "./checkpointing.ts";
import { Bench, listed, TPM, web } from "./testing.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
let contract: Address;
let hosts: Address;
const checkpoints = () => openLedger(ledger.place).contract("Checkpoints", contract);
before(async () => {
  ledger = await startTestLedger(file);
  const payer = { url: ledger.chain.url, deployerKey: ledger.deployer };
  contract = (await deployContract("Checkpoints", payer)).address;
  hosts = (await deployContract("HostRegistry", payer)).address;
});

async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await sleep(20);
  }
}

test("many new hosts at once keep no checkpoint waiting, and a revoked key waits for none of theirs", async (t) => {
  const { rows } = manyHosts(450, 0);
  const gone = rows.at(-1)!;
  const key = createKey();
  const end = endingOf(t);
  const checkpointing = new Checkpointing(
    { contract, hosts, key, folder: await temporaryFolder(end), intervalMs: 100, keep: 100 },
    {
      ledger: openLedger(ledger.place),
      clock: systemClock,
      hosts: () => rows,
      report: async () => [],
      isRevoked: (host) => host === gone.name,
      say: assert.fail,
    },
  );
  end.after(() => checkpointing.close());
  /** How many are recorded when there are so many checkpoints. */
  const recorded = async (checkpoint: bigint) => {
    await until(
      `checkpoint ${checkpoint}`,
      async () => (await nextCheckpoint(await checkpoints(), key.address)) > checkpoint,
    );
    const at = await openLedger(ledger.place).contract("HostRegistry", hosts);
    const known = await readHosts(at, key.address, rows.map(akNameOf));
    assert.notEqual(known.at(-1)!.revokedAt, null, "the revoked one is among the first");
    return known.filter(({ enrolledAt, revokedAt }) => (enrolledAt ?? revokedAt) !== null).length;
  };
  const first = await recorded(0n);
  // The next turn may have begun meanwhile.
  assert.ok(first === 200 || first === 400, `${first}`);
  assert.equal(await recorded(2n), 450);
});

async function start(
  t: TestContext,
  { keep = 100, url = ledger.chain.url, witnesses = [] as string[], key = createKey() } = {},
) {
  const bench = await Bench.open(t);
  const end = endingOf(t);
  const folder = join(await temporaryFolder(end), "checkpoints");
  const said: string[] = [];
  const checkpointing = new Checkpointing(
    { contract, hosts, key, folder, intervalMs: 100, keep },
    {
      ledger: openLedger({ ...ledger.place, url, witnesses, timeoutMs: 2000, report: (text) => void said.push(text) }),
      clock: bench.clock,
      hosts: () => bench.store.hosts(),
      report: () => bench.verifier.report(),
      isRevoked: (host) => bench.store.enrollments.notice(host)?.reason === "host-revoked",
      say: (text) => void said.push(text),
    },
  );
  end.after(() => checkpointing.close());
  const linesOf = async (number: bigint): Promise<string[]> => {
    const root = await readCheckpoint(await checkpoints(), key.address, number);
    const name = `${`${number}`.padStart(10, "0")}-${root!.slice(2, 18)}.jsonl`;
    const lines = (await readFile(join(folder, name), "utf8")).split("\n").slice(0, -1);
    assert.equal(checkpointRoot(lines), root, "the file is what the chain has the root of");
    return lines;
  };
  const reaches = (number: bigint) =>
    until(`checkpoint ${number}`, async () => (await nextCheckpoint(await checkpoints(), key.address)) > number);
  return { bench, folder, key, said, checkpointing, linesOf, reaches };
}

test("log heads and verdicts of all hosts reach the chain at each interval, and can be proved by it", async (t) => {
  const { bench, key, said, linesOf, reaches } = await start(t);
  await reaches(0n);
  assert.deepEqual(JSON.parse((await linesOf(0n))[0]!), {
    ...{ format: "pims.checkpoint/v1", number: "0", time: "2026-01-02T03:04:05.000Z", hosts: 0, previous: null },
  });
  const host = await TestHost.start(t);
  bench.verifier.enroll("node1", host.akPublic, TPM);
  assert.ok((await bench.attest(host, startEvent(web), codeEvent(web, listed))).accepted);
  // The one that is under way may have been begun before.
  const next = 1n + (await nextCheckpoint(await checkpoints(), key.address));
  await reaches(next);
  const lines = await linesOf(next);
  const header = JSON.parse(lines[0]!);
  assert.deepEqual(
    [header.hosts, header.previous],
    [1, await readCheckpoint(await checkpoints(), key.address, next - 1n)],
  );
  const row = bench.store.host("node1")!;
  const { proved } = row;
  assert.deepEqual(JSON.parse(lines[1]!), {
    ...{ host: "node1", ak: akNameOf(row), evidence: "good", acceptedAt: "2026-01-02T03:04:05.000Z" },
    log: { bootId: proved.bootId, records: proved.length, digest: proved.digest, value: proved.value },
    containers: [{ runtime: web.runtime, id: web.id, image: web.image, status: "trusted", reasons: [] }],
  });
  const root = await readCheckpoint(await checkpoints(), key.address, next);
  assert.ok(isInCheckpoint(proveLine(lines, 1), root!));
  assert.ok(!isInCheckpoint({ ...proveLine(lines, 1), line: lines[1]!.replace("trusted", "unknown") }, root!));

  const recorded = async () => {
    const at = await openLedger(ledger.place).contract("HostRegistry", hosts);
    return (await readHosts(at, key.address, [akNameOf(row)]))[0]!;
  };
  assert.notEqual((await recorded()).enrolledAt, null);
  bench.verifier.refuseTpm("node1", "host-revoked", "an operator revoked it");
  await until("the key is revoked", async () => (await recorded()).revokedAt !== null);
  await reaches(await nextCheckpoint(await checkpoints(), key.address));
  assert.deepEqual(said, []);
});

test("old checkpoints' lines are removed, and nothing else in their folder", async (t) => {
  const { folder, key, checkpointing, reaches } = await start(t, { keep: 3 });
  await reaches(0n);
  await writeFile(join(folder, "notes"), "");
  await writeFile(join(folder, `0000000000-00.jsonl.${randomUUID()}`), "half");
  await reaches(5n);
  await checkpointing.close();
  const names = (await readdir(folder)).sort();
  assert.ok(names.includes("notes"));
  const last = await nextCheckpoint(await checkpoints(), key.address);
  assert.equal(names.length, 4, names.join());
  assert.ok(names[2]!.startsWith(`${last - 1n}`.padStart(10, "0")), `${names.join()} ${last}`);
});

test("a chain that does not take them is said once, and again when it does", async (t) => {
  const chain = { isSilent: true };
  const url = await serve(file, async (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    if (chain.isSilent) response.destroy();
    else
      response.end(
        JSON.stringify({ jsonrpc: "2.0", id, ...(await openRpc(ledger.chain.url).request(method, params)) }),
      );
  });
  const { said, reaches } = await start(t, { url });
  await until("it is said", () => said.length > 0);
  await sleep(400);
  assert.equal(said.length, 1);
  assert.ok(said[0]!.startsWith(`no checkpoint: the chain at ${url} does not answer`), said[0]);
  chain.isSilent = false;
  await reaches(1n);
  assert.deepEqual(said.slice(1), ["checkpoints reach the ledger again"]);
});

test("what one of three endpoints says of earlier checkpoints is not believed", async (t) => {
  const key = createKey();
  const liar = await startNode(file, ledger.folder);
  await liar.cheat("anvil_rollback", [1]);
  await liar.cheat("anvil_setStorageAt", [contract, countSlot(key.address), `0x${"7".padStart(64, "0")}`]);
  await liar.cheat("evm_mine", []);
  const mirror = await lieAbout(file, ledger.chain.url, (_, result) => result);
  const { said, linesOf, reaches } = await start(t, { key, url: liar.url, witnesses: [ledger.chain.url, mirror] });
  await reaches(1n);
  assert.equal(JSON.parse((await linesOf(1n))[0]!).number, "1");
  assert.ok(said.some((text) => text.startsWith(`the ledger's endpoint ${liar.url} is left out`)));
  // On a busy machine the others are slow at times, and nothing else.
  const others = said.filter((text) => !text.includes(liar.url));
  assert.deepEqual(
    others.filter((text) => !/answers too slowly|does not answer|checkpoint/.test(text)),
    [],
  );
});
