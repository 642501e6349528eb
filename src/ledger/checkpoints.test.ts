import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Address, concatHex, encodeFunctionData, type Hex, hexToBigInt, keccak256, numberToHex, pad } from "viem";
import {
  checkpointRoot,
  isInCheckpoint,
  nextCheckpoint,
  proveLine,
  readCheckpoint,
  sendCheckpoint,
} from "./checkpoints.ts";
import { checkpointsAbi } from "./contract/checkpoints-abi.ts";
import { deployContract } from "./deploy.ts";
import { readHosts, recordEnrolled, recordRevoked } from "./host-registry.ts";
import { createKey, type LedgerKey } from "./keys/keys.ts";
import { openLedger } from "./open-ledger.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { sendTransaction } from "./send.ts";
import { ending, reverts, startTestLedger, type TestLedger } from "./testing.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
/** Each at the newest block. */
let checkpoints: () => Promise<ProvedContract>;
let hosts: () => Promise<ProvedContract>;
before(async () => {
  ledger = await startTestLedger(file);
  const payer = { ...ledger.place, deployerKey: ledger.deployer };
  const [roots, keys] = [await deployContract("Checkpoints", payer), await deployContract("HostRegistry", payer)];
  checkpoints = () => openLedger(ledger.place).contract("Checkpoints", roots.address);
  hosts = () => openLedger(ledger.place).contract("HostRegistry", keys.address);
});

const root = (lines: readonly string[]): Hex => checkpointRoot(lines);

test("one transaction stands for any number of lines, each of which can be proved, and no other", async () => {
  const key = (await ledger.newKeys(1))[0]!;
  const few = ["header", ...Array.from({ length: 9 }, (_, index) => `{"host":"${index}"}`)];
  const many = ["header", ...Array.from({ length: 10_000 }, (_, index) => `{"host":"${index}"}`)];
  const first = await sendCheckpoint(await checkpoints(), { key, number: 0n, root: root(few) });
  await sendCheckpoint(await checkpoints(), { key, number: 1n, root: root(few) });
  const third = await sendCheckpoint(await checkpoints(), { key, number: 2n, root: root(many) });
  assert.ok(third.gas < 60_000n && first.gas < 80_000n, `${first.gas} ${third.gas}`);
  assert.equal(await nextCheckpoint(await checkpoints(), key.address), 3n);
  const kept = await readCheckpoint(await checkpoints(), key.address, 2n);
  assert.equal(kept, root(many));
  const proof = proveLine(many, 7001);
  assert.ok(isInCheckpoint(proof, kept!));
  assert.ok(proof.nodes.length <= 14);
  assert.ok(!isInCheckpoint({ ...proof, line: '{"host":"7001"}' }, kept!));
  assert.ok(!isInCheckpoint({ ...proof, index: 7002 }, kept!));
  assert.ok(!isInCheckpoint(proof, root(few)));
  assert.ok(!isInCheckpoint({ ...proof, nodes: proof.nodes.with(0, "zz") }, kept!));
});

test("a reporter skips no number and says none twice, and writes below no other address", async () => {
  const [key, other] = (await ledger.newKeys(2)) as [LedgerKey, LedgerKey];
  const said = root(["one"]);
  const send = async (number: bigint, who = key, value = said) =>
    sendCheckpoint(await checkpoints(), { key: who, number, root: value });
  await assert.rejects(send(1n), reverts("OutOfOrder"));
  await assert.rejects(send(0n, key, numberToHex(0n, { size: 32 })), reverts("BadRoot"));
  await send(0n);
  await assert.rejects(send(0n), reverts("OutOfOrder"));
  await assert.rejects(send(2n ** 64n - 1n), reverts("OutOfOrder"));
  await send(0n, other, root(["two"]));
  assert.equal(await readCheckpoint(await checkpoints(), key.address, 0n), said);
  assert.equal(await readCheckpoint(await checkpoints(), key.address, 1n), null);
  assert.equal(await nextCheckpoint(await checkpoints(), createKey().address), 0n);
  // Solidity's layout: the array's length at keccak256(reporter ‖ 0), its words from keccak256 of that on.
  const { rpc, address } = await checkpoints();
  const at = (slot: Hex) => rpc.call("eth_getStorageAt", [address, slot, "latest"]) as Promise<Hex>;
  const slot = keccak256(concatHex([pad(key.address as Address), pad("0x0")]));
  assert.equal(hexToBigInt(await at(slot)), 1n);
  assert.equal(await at(keccak256(slot)), said);
});

const name = (digit: string) => `000b${digit.repeat(64)}`;

test("keys are enrolled once and revoked for good, below their registrar's address", async () => {
  const [key, other] = (await ledger.newKeys(2)) as [LedgerKey, LedgerKey];
  const when = async (digit: string, who = key) => (await readHosts(await hosts(), who.address, [name(digit)]))[0]!;
  const nothing = { enrolledAt: null, revokedAt: null };
  assert.deepEqual(await when("1"), nothing);
  await recordEnrolled(await hosts(), { key, names: ["1", "2"].map(name) });
  const first = await when("1");
  assert.ok(first.enrolledAt! > 1_700_000_000n && first.revokedAt === null);
  await recordEnrolled(await hosts(), { key, names: ["2", "1", "3"].map(name) });
  assert.deepEqual(await when("1"), first, "the first time counts");
  await recordRevoked(await hosts(), { key, names: ["1", "4"].map(name) });
  const revoked = await when("1");
  assert.ok(revoked.enrolledAt === first.enrolledAt && revoked.revokedAt! >= first.enrolledAt!);
  await recordRevoked(await hosts(), { key, names: [name("1")] });
  assert.deepEqual(await when("1"), revoked);
  for (const digit of ["1", "4"])
    await assert.rejects(recordEnrolled(await hosts(), { key, names: [name("5"), name(digit)] }), reverts("IsRevoked"));
  assert.deepEqual(await when("5"), nothing, "all of a transaction or nothing");
  assert.deepEqual(await when("2", other), nothing);
  await recordRevoked(await hosts(), { key: other, names: [name("2")] });
  assert.equal((await when("2")).revokedAt, null, "a stranger revokes nothing of another's");
});

test("a thousand keys are five transactions; what is no key's name is refused", async () => {
  const key = (await ledger.newKeys(1))[0]!;
  const names = Array.from({ length: 1000 }, (_, index) => `000b${index.toString(16).padStart(64, "0")}`);
  const { transactions, gas } = await recordEnrolled(await hosts(), { key, names });
  assert.equal(transactions, 5);
  assert.ok(gas < 40_000_000n, `${gas}`);
  assert.notEqual((await readHosts(await hosts(), key.address, names))[999]!.enrolledAt, null);
  for (const bad of ["", "000b", name("g"), `${name("1")}00`])
    await assert.rejects(recordEnrolled(await hosts(), { key, names: [bad] }), { code: "ak-name-malformed" });
  const registry = await openLedger(ledger.place).contract("HostRegistry", ledger.place.registry);
  await assert.rejects(readHosts(registry, key.address, [name("1")]), { code: "ledger-no-registry" });
  const { rpc, chainId, address } = await hosts();
  const data = encodeFunctionData({ abi: checkpointsAbi, functionName: "count", args: [key.address] });
  await assert.rejects(sendTransaction(rpc, chainId, key, { to: address, data }), {
    code: "ledger-refused",
  });
});
