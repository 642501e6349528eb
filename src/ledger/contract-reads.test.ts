// The contracts' own read functions, which this program does not ask: it proves storage. Others do.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Address, decodeFunctionResult, encodeFunctionData, type Hex, maxUint256, zeroHash } from "viem";
import { checkpointRoot, sendCheckpoint } from "./checkpoints.ts";
import { checkpointsAbi } from "./contract/checkpoints-abi.ts";
import { hostRegistryAbi } from "./contract/host-registry-abi.ts";
import { identityToHash } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import { deployContract } from "./deploy.ts";
import { recordEnrolled, recordRevoked } from "./host-registry.ts";
import { createKey } from "./keys/keys.ts";
import { openLedger } from "./open-ledger.ts";
import { revokeBaseline, supersedeBaseline } from "./revoke.ts";
import { openRpc } from "./rpc/rpc.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "./testing.ts";
import { callContract } from "./testing-calls.ts";

const STATUS = { none: 0, proposed: 1, approved: 2, revoked: 5 };

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

const hash = (name: string): Hex => identityToHash(testIdentity(name));
const call = (address: Address, data: Hex): Promise<Hex> =>
  callContract({ rpc: openRpc(ledger.chain.url), address }, data);

test("the registry lists every image once with what stands for it, and says how often one was approved", async () => {
  const { place, publishers } = ledger;
  const [a, b] = publishers;
  const actions = testActions(place);
  const publish = async (name: string, variant = "") => {
    const { id } = await actions.propose(a, testLines(name, 1, variant));
    await actions.approve(b, id);
    return id;
  };
  const list = async (from: bigint, count: bigint) => {
    const data = await call(place.registry, encodeFunctionData({ abi, functionName: "list", args: [from, count] }));
    return decodeFunctionResult({ abi, functionName: "list", data });
  };
  assert.deepEqual(await list(0n, 10n), []);
  const [approved, gone, ending] = [await publish("approved"), await publish("gone"), await publish("ending")];
  const { id: open } = await actions.propose(a, testLines("open", 3));
  const { id: later } = await actions.propose(b, testLines("approved", 1, "later"));
  await revokeBaseline({ ...place, key: a, id: gone });
  await supersedeBaseline({ ...place, key: a, id: ending, by: approved, overlapSeconds: 1000 });
  const all = await list(0n, maxUint256);
  assert.deepEqual(
    all.map(({ identity, status, id, lines, until }) => [identity, status, id, lines, until > 0n]),
    [
      [hash("approved"), STATUS.approved, approved, 2, false],
      [hash("gone"), STATUS.revoked, gone, 2, false],
      [hash("ending"), STATUS.approved, ending, 2, true],
      [hash("open"), STATUS.proposed, open, 4, false],
    ],
  );
  assert.deepEqual(await list(1n, 2n), all.slice(1, 3));
  assert.deepEqual(await list(3n, 2n), all.slice(3));
  assert.deepEqual(await list(4n, 1n), []);
  assert.deepEqual(await list(maxUint256, maxUint256), []);

  const one = async (functionName: "latestProposalOf" | "revisionOf", name: string) => {
    const data = await call(place.registry, encodeFunctionData({ abi, functionName, args: [hash(name)] }));
    return decodeFunctionResult({ abi, functionName, data });
  };
  assert.deepEqual([await one("latestProposalOf", "approved"), await one("revisionOf", "approved")], [later, 1n]);
  assert.deepEqual([await one("latestProposalOf", "open"), await one("revisionOf", "open")], [open, 0n]);
  assert.deepEqual([await one("latestProposalOf", "nobody"), await one("revisionOf", "nobody")], [zeroHash, 0n]);
  const count = await call(place.registry, encodeFunctionData({ abi, functionName: "identityCount" }));
  assert.equal(decodeFunctionResult({ abi, functionName: "identityCount", data: count }), 4n);
  const people = await call(place.registry, encodeFunctionData({ abi, functionName: "publisherCount" }));
  assert.equal(decodeFunctionResult({ abi, functionName: "publisherCount", data: people }), 3);
});

test("checkpoints and hosts are read below who wrote them, and nothing where nothing is", async () => {
  const payer = { url: ledger.chain.url, deployerKey: ledger.deployer };
  const open = async (name: "Checkpoints" | "HostRegistry") =>
    openLedger(ledger.place).contract(name, (await deployContract(name, payer)).address);
  const [key, other] = [createKey(), createKey()];
  const checkpoints = await open("Checkpoints");
  const roots = [checkpointRoot(["one"]), checkpointRoot(["two"])];
  for (const [number, root] of roots.entries())
    await sendCheckpoint(checkpoints, { key, number: BigInt(number), root });
  const rootOf = async (reporter: Address, number: bigint) => {
    const args = [reporter, number] as const;
    const data = encodeFunctionData({ abi: checkpointsAbi, functionName: "rootOf", args });
    return decodeFunctionResult({
      abi: checkpointsAbi,
      functionName: "rootOf",
      data: await call(checkpoints.address, data),
    });
  };
  const count = async (reporter: Address) => {
    const data = encodeFunctionData({ abi: checkpointsAbi, functionName: "count", args: [reporter] });
    return decodeFunctionResult({
      abi: checkpointsAbi,
      functionName: "count",
      data: await call(checkpoints.address, data),
    });
  };
  assert.deepEqual([await rootOf(key.address, 0n), await rootOf(key.address, 1n)], roots);
  assert.deepEqual([await rootOf(key.address, 2n), await rootOf(key.address, 2n ** 64n - 1n)], [zeroHash, zeroHash]);
  assert.deepEqual([await count(key.address), await count(other.address)], [2n, 0n]);
  assert.equal(await rootOf(other.address, 0n), zeroHash);

  const hosts = await open("HostRegistry");
  const names = ["1", "2"].map((digit) => `000b${digit.repeat(64)}`) as [string, string];
  await recordEnrolled(hosts, { key, names });
  await recordRevoked(hosts, { key, names: [names[0]] });
  const hostOf = async (registrar: Address, name: string) => {
    const args = [registrar, `0x${name}`] as const;
    const data = encodeFunctionData({ abi: hostRegistryAbi, functionName: "hostOf", args });
    const host = decodeFunctionResult({
      abi: hostRegistryAbi,
      functionName: "hostOf",
      data: await call(hosts.address, data),
    });
    return [host.enrolledAt > 0n, host.revokedAt > 0n];
  };
  assert.deepEqual(await hostOf(key.address, names[0]), [true, true]);
  assert.deepEqual(await hostOf(key.address, names[1]), [true, false]);
  assert.deepEqual(await hostOf(other.address, names[1]), [false, false]);
});
