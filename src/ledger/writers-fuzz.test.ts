// Random transactions of several writers against HostRegistry and Checkpoints on a real chain: each must end as a few
// lines of bookkeeping say, and nobody's word may change another's. PIMS_FUZZ_RUNS sets the number of sequences, 3 by default.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { encodeFunctionData, type Hex, keccak256, parseEventLogs, toBytes, zeroHash } from "viem";
import { PimsError } from "../core/errors.ts";
import { nextCheckpoint, readCheckpoint } from "./checkpoints.ts";
import { checkpointsAbi } from "./contract/checkpoints-abi.ts";
import { hostRegistryAbi } from "./contract/host-registry-abi.ts";
import { deployContract } from "./deploy.ts";
import { readHosts } from "./host-registry.ts";
import { createKey } from "./keys/keys.ts";
import { openLedger } from "./open-ledger.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { sendTransaction } from "./send.ts";
import { ending, startTestLedger, type TestLedger } from "./testing.ts";

const RUNS = Number(process.env.PIMS_FUZZ_RUNS ?? 3);

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

const writers = [createKey(), createKey(), createKey()];
/** Names of SHA-256, SHA-384 and SHA-512, and what is none. */
const NAMES = [34, 50, 66, 34, 33, 0].map((length, index) => `0x${`${index}b`.repeat(length)}` as Hex);
const isName = (name: Hex): boolean => [34, 50, 66].includes((name.length - 2) / 2);

async function send(contract: ProvedContract, by: number, data: Hex): Promise<string> {
  try {
    await sendTransaction(contract.rpc, contract.chainId, writers[by]!, { to: contract.address, data });
    return "ok";
  } catch (error) {
    if (error instanceof PimsError && typeof error.cause === "string") return error.cause;
    throw error;
  }
}

/** A new contract, as it is at the newest block of whenever that is asked. */
async function deployed(name: "HostRegistry" | "Checkpoints"): Promise<() => Promise<ProvedContract>> {
  const { url } = ledger.chain;
  const { address } = await deployContract(name, { url, deployerKey: ledger.deployer });
  return () => openLedger(ledger.place).contract(name, address);
}

type HostStep = { readonly kind: "enroll" | "revoke"; readonly by: number; readonly names: readonly number[] };
const hostStep: fc.Arbitrary<HostStep> = fc.record({
  kind: fc.constantFrom("enroll", "revoke"),
  by: fc.nat(writers.length - 1),
  names: fc.array(fc.oneof({ weight: 12, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(NAMES.length - 1) }), {
    minLength: 1,
    maxLength: 3,
  }),
});
const carefulHosts: HostStep[] = [
  { kind: "enroll", by: 0, names: [0, 1] },
  { kind: "enroll", by: 0, names: [1, 2, 2] },
  { kind: "revoke", by: 1, names: [0] },
  { kind: "revoke", by: 0, names: [0, 3] },
  { kind: "enroll", by: 0, names: [0] },
  { kind: "enroll", by: 0, names: [2, 3] },
  { kind: "revoke", by: 0, names: [0, 1] },
  { kind: "enroll", by: 1, names: [0] },
  { kind: "enroll", by: 1, names: [1, 4] },
  { kind: "revoke", by: 2, names: [5] },
];

test("whatever registrars send, a key is enrolled once, revoked for good, and only by its own registrar", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostStep, { minLength: 10, maxLength: 15, size: "max" }), async (steps) => {
      const open = await deployed("HostRegistry");
      const contract = await open();
      const model = new Map<string, { enrolled: boolean; revoked: boolean }>();
      const at = (by: number, name: number) => model.get(`${by}/${name}`) ?? { enrolled: false, revoked: false };
      const times = new Map<string, bigint>();
      for (const { kind, by, names } of steps) {
        const bad = names.find((name) => !isName(NAMES[name]!) || (kind === "enroll" && at(by, name).revoked));
        const expected = bad === undefined ? "ok" : isName(NAMES[bad]!) ? "IsRevoked" : "BadName";
        const args = [names.map((name) => NAMES[name]!)] as const;
        const data = encodeFunctionData({ abi: hostRegistryAbi, functionName: kind, args });
        assert.equal(await send(contract, by, data), expected, JSON.stringify({ kind, by, names }));
        if (expected === "ok")
          for (const name of names)
            model.set(`${by}/${name}`, {
              ...at(by, name),
              ...(kind === "enroll" ? { enrolled: true } : { revoked: true }),
            });
        for (const who of writers.keys())
          for (const name of [0, 1, 2, 3]) {
            const read = await readHosts(await open(), writers[who]!.address, [NAMES[name]!.slice(2)]);
            const { enrolledAt, revokedAt } = read[0]!;
            const { enrolled, revoked } = at(who, name);
            assert.deepEqual([enrolledAt !== null, revokedAt !== null], [enrolled, revoked], `${who} ${name}`);
            for (const [what, time] of Object.entries({ enrolledAt, revokedAt })) {
              if (time === null) continue;
              const key = `${who}/${name}/${what}`;
              assert.equal(time, times.get(key) ?? time, "the first time counts");
              times.set(key, time);
            }
          }
      }
    }),
    { numRuns: RUNS, endOnFailure: true, examples: [[carefulHosts]] },
  );
});

type RootStep = { readonly by: number; readonly off: number; readonly root: number };
const rootStep: fc.Arbitrary<RootStep> = fc.record({
  by: fc.nat(writers.length - 1),
  /** From the number that is next. */
  off: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -2, max: 2 }) }),
  root: fc.nat(5),
});
const rootOf = (root: number): Hex => (root === 0 ? zeroHash : keccak256(toBytes(`root ${root}`)));

test("whatever reporters send, each has its roots in a row, and none changes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(rootStep, { minLength: 15, maxLength: 20, size: "max" }), async (steps) => {
      const open = await deployed("Checkpoints");
      const contract = await open();
      const model = writers.map((): Hex[] => []);
      for (const { by, off, root } of steps) {
        const said = model[by]!;
        const number = BigInt.asUintN(64, BigInt(said.length + off));
        const expected = off !== 0 ? "OutOfOrder" : root === 0 ? "BadRoot" : "ok";
        const args = [number, rootOf(root)] as const;
        const data = encodeFunctionData({ abi: checkpointsAbi, functionName: "checkpoint", args });
        assert.equal(await send(contract, by, data), expected, JSON.stringify({ by, off, root }));
        if (expected === "ok") said.push(rootOf(root));
        for (const [who, roots] of model.entries()) {
          const { address } = writers[who]!;
          assert.equal(await nextCheckpoint(await open(), address), BigInt(roots.length));
          for (const [index, kept] of [...roots, null].entries())
            assert.equal(await readCheckpoint(await open(), address, BigInt(index)), kept);
        }
      }
      const filter = { address: contract.address, fromBlock: "0x0", toBlock: "latest" };
      const logs = (await contract.rpc.call("eth_getLogs", [filter])) as Parameters<typeof parseEventLogs>[0]["logs"];
      const events = parseEventLogs({ abi: checkpointsAbi, logs, eventName: "Checkpointed" });
      for (const [who, roots] of model.entries())
        assert.deepEqual(
          events
            .filter(({ args }) => args.reporter === writers[who]!.address)
            .map(({ args }) => [args.number, args.root]),
          roots.map((root, index) => [BigInt(index), root]),
          "its events say the same",
        );
    }),
    {
      numRuns: RUNS,
      endOnFailure: true,
      examples: [
        [
          [
            { by: 0, off: 0, root: 1 },
            { by: 0, off: -1, root: 2 },
            { by: 1, off: 0, root: 3 },
            { by: 0, off: 1, root: 1 },
            { by: 0, off: 0, root: 0 },
            { by: 0, off: 0, root: 1 },
          ],
        ],
      ],
    },
  );
});
