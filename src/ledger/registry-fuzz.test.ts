// Random transactions of publishers and strangers against a real chain. Each must end as the model says, and after each
// what must never happen has not happened. PIMS_FUZZ_RUNS sets the number of sequences (3 by default), each of some 40.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { bytesToHex, decodeFunctionResult, encodeFunctionData, type Hex, keccak256, toBytes, zeroHash } from "viem";
import { PimsError } from "../core/errors.ts";
import { inRisingOrder } from "./contract/address.ts";
import { hashChain } from "./contract/entry-data.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import { deployRegistry } from "./deploy.ts";
import { createKey } from "./keys/keys.ts";
import { openRegistry } from "./open-ledger.ts";
import { proposalId, readProposal } from "./proposal.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { RegistryModel } from "./registry-model.ts";
import { readGovernance } from "./registry-reads.ts";
import { sendTransaction } from "./send.ts";
import { ending, startTestLedger, type TestLedger } from "./testing.ts";
import { callContract, callGovernance, callProposal } from "./testing-calls.ts";

const RUNS = Number(process.env.PIMS_FUZZ_RUNS ?? 3);
const PEOPLE = 5;
const OVERLAP = 1000n;

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

const people = Array.from({ length: PEOPLE }, () => createKey());
/** Two pieces each; what distinguishes the proposals for one image. */
const variants = [0, 1].map((variant) => {
  const chunks = [0, 1].map((index) => toBytes(`piece ${index} of ${variant}`));
  return { chunks, links: hashChain(chunks), root: keccak256(toBytes(`root ${variant}`)) };
});

/** Publishers more often than strangers, so that something happens. */
const who = fc.oneof({ weight: 5, arbitrary: fc.nat(2) }, { weight: 1, arbitrary: fc.nat(PEOPLE - 1) });
/** Which of the proposals so far, counted from the last: most often a recent one. */
const which = fc.oneof({ weight: 3, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(20) });
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("propose" as const), by: who, identity: fc.nat(1), variant: fc.nat(1) }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("deliverNext" as const), by: who, which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("deliver" as const),
      by: who,
      which,
      index: fc.nat(2),
      right: fc.boolean(),
    }),
  },
  { weight: 9, arbitrary: fc.record({ kind: fc.constant("approve" as const), by: who, which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("revoke" as const), by: who, which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("supersede" as const), by: who, which, other: which }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("change" as const), by: who, set: fc.nat(2), quorum: fc.nat(4) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("retire" as const), by: who }) },
);
/** What honest publishers do: most of a sequence would be refused otherwise. */
const published = fc
  .record({ by: who, other: who, identity: fc.nat(1), variant: fc.nat(1) })
  .map(({ by, other, identity, variant }): Step[] => [
    { kind: "propose", by, identity, variant },
    { kind: "deliverNext", by, which: 0 },
    { kind: "deliverNext", by: other, which: 0 },
    { kind: "approve", by: other, which: 0 },
  ]);
/** Two publishers of one mind. */
const elected = fc
  .record({ set: fc.nat(2), quorum: fc.integer({ min: 2, max: 3 }) })
  .map(({ set, quorum }): Step[] => [1, 2].map((by) => ({ kind: "change", by, set, quorum })));
const steps = fc
  .array(
    fc.oneof(
      { weight: 10, arbitrary: step.map((one): Step[] => [one]) },
      { weight: 3, arbitrary: published },
      { weight: 1, arbitrary: elected },
    ),
    { minLength: 20, maxLength: 30, size: "max" },
  )
  .map((groups) => groups.flat());
/** What chance may not hit in a few runs: haste, a second vote of one person, a quorum of three, a late signature. */
const careful: Step[] = [
  { kind: "propose", by: 0, identity: 0, variant: 0 },
  { kind: "approve", by: 1, which: 0 },
  { kind: "deliverNext", by: 0, which: 0 },
  { kind: "approve", by: 1, which: 0 },
  { kind: "deliverNext", by: 1, which: 0 },
  { kind: "deliverNext", by: 1, which: 0 },
  { kind: "approve", by: 0, which: 0 },
  { kind: "approve", by: 3, which: 0 },
  { kind: "approve", by: 1, which: 0 },
  { kind: "supersede", by: 1, which: 0, other: 0 },
  { kind: "revoke", by: 4, which: 0 },
  { kind: "revoke", by: 2, which: 0 },
  { kind: "revoke", by: 2, which: 0 },
  { kind: "approve", by: 2, which: 0 },
  { kind: "change", by: 0, set: 1, quorum: 2 },
  { kind: "change", by: 1, set: 0, quorum: 2 },
  { kind: "change", by: 0, set: 2, quorum: 3 },
  { kind: "change", by: 0, set: 2, quorum: 3 },
  { kind: "change", by: 1, set: 2, quorum: 3 },
  { kind: "propose", by: 3, identity: 0, variant: 0 },
  { kind: "deliverNext", by: 3, which: 0 },
  { kind: "deliverNext", by: 3, which: 0 },
  { kind: "approve", by: 1, which: 0 },
  { kind: "approve", by: 1, which: 0 },
  { kind: "approve", by: 2, which: 0 },
  { kind: "propose", by: 1, identity: 1, variant: 1 },
  { kind: "supersede", by: 1, which: 1, other: 0 },
  { kind: "supersede", by: 1, which: 0, other: 1 },
  { kind: "deliverNext", by: 1, which: 0 },
  { kind: "deliverNext", by: 0, which: 0 },
  { kind: "approve", by: 1, which: 0 },
  { kind: "retire", by: 3 },
  { kind: "change", by: 0, set: 0, quorum: 2 },
  { kind: "change", by: 1, set: 0, quorum: 2 },
  { kind: "change", by: 3, set: 0, quorum: 2 },
  { kind: "approve", by: 2, which: 0 },
  { kind: "retire", by: 0 },
  { kind: "retire", by: 0 },
  { kind: "retire", by: 1 },
  { kind: "propose", by: 0, identity: 1, variant: 0 },
];
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
/** By the numbers of the contract's enum. */
const STATUS = ["none", "proposed", "approved", "superseded", "outdated", "revoked"];
const SETS = [
  [0, 1, 2],
  [1, 2, 3],
  [0, 1, 2, 3],
];

class Run {
  readonly model = new RegistryModel(SETS[0]!, 2);
  readonly ids = new Map<string, Hex>();
  readonly registry: ProvedContract;
  readonly counts = { ok: 0, refused: 0, approved: 0, epochs: 0 };
  readonly #everRevoked = new Set<string>();
  readonly #everApproved = new Set<string>();

  constructor(registry: ProvedContract) {
    this.registry = registry;
  }

  async take(one: Step): Promise<void> {
    const planned = this.#plan(one);
    if (planned === null) return;
    const { expected, data } = planned;
    assert.equal(await this.#send(one.by, data), expected, JSON.stringify(one));
    this.counts[expected === "ok" ? "ok" : "refused"]++;
    await this.#compare();
  }

  /** What the model says of a step, and its transaction. Null for a step about a proposal while there is none. */
  #plan(one: Step): { expected: string; data: Hex } | null {
    const { model } = this;
    if (one.kind === "propose") {
      const { chunks, links, root } = variants[one.variant]!;
      const identity = identityOf(one.identity);
      const [epoch, revision] = [model.epoch, BigInt(model.revisionOf(one.identity))];
      const key = model.keyOf(one.identity, one.variant);
      const expected = model.propose(one.by, one.identity, one.variant, chunks.length);
      const parts = { epoch, identity, revision, root, dataHash: links[0]!, chunks: chunks.length, lines: 1 };
      if (expected === "ok") this.ids.set(key, proposalId(this.registry, parts));
      const args = [identity, root, links[0]!, chunks.length, 1] as const;
      return { expected, data: encodeFunctionData({ abi, functionName: "propose", args }) };
    }
    if (one.kind === "change") {
      const set = SETS[one.set]!;
      const args = [inRisingOrder(set.map((person) => people[person]!.address)), one.quorum] as const;
      const expected = model.changePublishers(one.by, set, one.quorum);
      return { expected, data: encodeFunctionData({ abi, functionName: "changePublishers", args }) };
    }
    if (one.kind === "retire") {
      const args = [ledger.place.registry] as const;
      return { expected: model.retire(one.by), data: encodeFunctionData({ abi, functionName: "retire", args }) };
    }
    const key = this.#key(one.which);
    if (key === undefined) return null;
    const id = this.ids.get(key)!;
    if (one.kind === "deliver" || one.kind === "deliverNext") {
      const { chunks, links } = variants[Number(key.split("/")[3])]!;
      const index = one.kind === "deliver" ? one.index : model.proposals.get(key)!.delivered;
      const right = one.kind === "deliverNext" || one.right;
      const piece = right && index < chunks.length ? chunks[index]! : toBytes("another piece");
      const args = [id, index, bytesToHex(piece), links[Math.min(index + 1, chunks.length)]!] as const;
      const expected = model.deliver(one.by, key, index, right);
      return { expected, data: encodeFunctionData({ abi, functionName: "deliver", args }) };
    }
    if (one.kind === "supersede") {
      const other = this.#key(one.other)!;
      const args = [id, this.ids.get(other)!, OVERLAP] as const;
      const expected = model.supersede(one.by, key, other);
      return { expected, data: encodeFunctionData({ abi, functionName: "supersede", args }) };
    }
    const expected = one.kind === "approve" ? model.approve(one.by, key) : model.revoke(one.by, key);
    return { expected, data: encodeFunctionData({ abi, functionName: one.kind, args: [id] }) };
  }

  #key(which: number): string | undefined {
    const keys = [...this.ids.keys()];
    return keys[keys.length - 1 - (which % Math.max(1, keys.length))];
  }

  async #send(by: number, data: Hex): Promise<string> {
    const { rpc, chainId, address } = this.registry;
    try {
      await sendTransaction(rpc, chainId, people[by]!, { to: address, data });
      return "ok";
    } catch (error) {
      if (error instanceof PimsError && typeof error.cause === "string") return error.cause;
      throw error;
    }
  }

  /** The chain's state is the model's, and holds what must always hold. */
  async #compare(): Promise<void> {
    const { model } = this;
    const { registry } = this;
    const governance = await callGovernance(registry);
    const now = await openRegistry({ url: ledger.chain.url, registry: registry.address });
    const { successor: _, ...proved } = await readGovernance(now);
    assert.deepEqual(proved, governance, "what is proved is what the contract says");
    assert.deepEqual(governance.publishers, inRisingOrder(model.publishers.map((person) => people[person]!.address)));
    assert.equal(governance.quorum, model.quorum);
    assert.equal(governance.epoch, model.epoch);
    assert.ok(governance.quorum >= 2 && governance.quorum <= governance.publishers.length);
    for (const [key, proposal] of model.proposals) {
      const state = await callProposal(registry, this.ids.get(key)!);
      const proved = await readProposal(now, this.ids.get(key)!);
      for (const name of ["status", "delivered", "approvals", "until"] as const)
        assert.equal(proved![name], state[name], `${name} of ${key} as proved`);
      assert.equal(state.status, model.statusOf(key), key);
      assert.deepEqual(
        [state.delivered, state.approvals, state.approved, state.revoked, state.until !== 0n],
        [proposal.delivered, proposal.signers.size, proposal.approval !== null, proposal.revoked, proposal.until],
        key,
      );
      if (state.approved) {
        const { signers, quorum, publishers } = proposal.approval!;
        assert.ok(new Set(signers).size >= quorum, "approved without a quorum");
        assert.ok(
          signers.every((signer) => publishers.includes(signer)),
          "approved by a stranger",
        );
        assert.equal(state.delivered, state.chunks, "approved without its entries");
        this.#everApproved.add(key);
      }
      if (state.status === "revoked") this.#everRevoked.add(key);
    }
    for (const image of [0, 1]) {
      const args = [identityOf(image)] as const;
      const data = await callContract(registry, encodeFunctionData({ abi, functionName: "baselineOf", args }));
      const [status, id] = decodeFunctionResult({ abi, functionName: "baselineOf", data });
      const current = model.currentOf(image);
      const proposed = [...model.proposals.values()].some(({ identity }) => identity === image);
      const expected = current === undefined ? (proposed ? "proposed" : "none") : model.statusOf(current);
      assert.equal(STATUS[status], expected, "no older one takes the place of a revoked one");
      assert.equal(id, current === undefined ? zeroHash : this.ids.get(current));
    }
    for (const key of this.#everRevoked) assert.equal(model.statusOf(key), "revoked", "un-revoked");
    this.counts.approved = this.#everApproved.size;
    this.counts.epochs = model.epoch;
  }

  /** At the end: the contract itself names the signers that the model has. */
  async compareSigners(): Promise<void> {
    for (const [key, { signers }] of this.model.proposals)
      for (const [person, { address }] of people.entries()) {
        const args = [this.ids.get(key)!, address] as const;
        const data = encodeFunctionData({ abi, functionName: "hasSigned", args });
        const signed = BigInt(await callContract(this.registry, data)) === 1n;
        assert.equal(signed, signers.has(person), key);
      }
  }
}

const identityOf = (identity: number): Hex => keccak256(toBytes(`image ${identity}`));

test("whatever publishers and strangers send, in whatever order, the registry does as its model", async (t) => {
  const total = { ok: 0, refused: 0, approved: 0, epochs: 0 };
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      const { address } = await deployRegistry({
        url: ledger.chain.url,
        deployerKey: ledger.deployer,
        publishers: SETS[0]!.map((person) => people[person]!.address),
        quorum: 2,
      });
      const run = new Run(await openRegistry({ url: ledger.chain.url, registry: address }));
      for (const one of taken) await run.take(one);
      await run.compareSigners();
      for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += run.counts[name];
    }),
    { numRuns: RUNS, endOnFailure: true, examples: [[careful]] },
  );
  t.diagnostic(JSON.stringify(total));
  assert.ok(total.ok > 0 && total.refused > 0, "the steps try both sides");
});
