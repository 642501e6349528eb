// Headers of every form, each with the hash that it has, and a contract of other code: what both checkers of bundles take.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fromRlp, type Hex, keccak256, padHex, toRlp } from "viem";
import { z } from "zod";
import { artifactOf } from "../src/ledger/contract/artifact.ts";
import { istanbulDigest } from "../src/ledger/header/bft-extra.ts";
import { parseHeader, verifyHeader } from "../src/ledger/header/block-header.ts";
import { NodeCollector } from "../src/ledger/proof/shared-nodes.ts";
import { readAccount, readSlot } from "../src/ledger/proof/state-proof.ts";
import { openRpc } from "../src/ledger/rpc/rpc.ts";
import { readStanding, standingIn } from "../src/ledger/standing.ts";
import { ending } from "../src/ledger/testing.ts";
import { startNode } from "../src/ledger/testing-endpoints.ts";
import { bundleProofs, registryOf } from "../src/verifier/bundle-proofs.ts";
import { approvedIn, forgedBundle } from "./bundle-forging.ts";
import { site } from "./bundle-site.ts";

const file = ending();
after(() => file.end());
let at: Awaited<ReturnType<typeof site>>;
before(async () => {
  at = await site(file);
});

const zeros = (bytes: number): Hex => `0x${"00".repeat(bytes)}`;
type Items = readonly (Hex | readonly unknown[])[];
const rlpOf = (items: Items): Hex => toRlp(items as Hex[]);

const hex = z.string().transform((text) => text as Hex);
const proofSchema = z.object({
  accountProof: z.array(hex),
  storageProof: z.array(z.object({ value: hex, proof: z.array(hex) })),
});

/** Forms of a header, and whether it is one. */
function forms(rlp: Hex): Record<string, [Hex, boolean]> {
  const items = fromRlp(rlp, "hex") as Hex[];
  const first = items.slice(0, 15);
  const other = (index: number, value: Hex | readonly unknown[]) => rlpOf((items as Items).with(index, value));
  const bft = (...extra: readonly unknown[]) => rlpOf(items.with(13, istanbulDigest).with(12, rlpOf(extra as Items)));
  const later: Items = ["0x01", zeros(32), "0x", "0x", zeros(32), zeros(32)];
  return {
    "as it is": [rlp, true],
    "before London": [rlpOf(first), true],
    "a field less": [rlpOf(first.slice(0, 14)), false],
    "with all that came later": [rlpOf([...first, ...later]), true],
    "with one more": [rlpOf([...first, ...later, zeros(32)]), false],
    "a list for a field": [other(12, []), false],
    "zeros before a number": [other(11, "0x0001"), false],
    "zero as a byte": [other(7, "0x00"), false],
    "the largest difficulty": [other(7, `0x${"ff".repeat(32)}`), true],
    "a larger one": [other(7, `0x01${"00".repeat(32)}`), false],
    "of no year": [other(11, "0x7fffffffffffffff"), true],
    "a time beyond 64 bits": [other(11, "0x010000000000000000"), false],
    "a number beyond 64 bits": [other(8, "0x010000000000000000"), false],
    "a short bloom": [other(6, zeros(255)), false],
    "a long nonce": [other(14, zeros(9)), false],
    "as much extra data as there may be": [other(12, zeros(32 * 1024)), true],
    "more of it": [other(12, zeros(32 * 1024 + 1)), false],
    "a byte after it": [`${rlp}00`, false],
    "a byte less": [rlp.slice(0, -2) as Hex, false],
    "a longer length than it needs": [`0xfa00${rlp.slice(4)}`, false],
    nothing: ["0x", false],
    "no list": ["0x80", false],
    "QBFT without its extra data": [other(13, istanbulDigest), true],
    QBFT: [bft(zeros(32), [zeros(20)], [], "0x01", [zeros(65)]), true],
    "QBFT with a vote": [bft(zeros(32), [zeros(20)], [zeros(20), "0xff"], "0x", []), true],
    "a vote of two bytes": [bft(zeros(32), [zeros(20)], [zeros(20), "0xffff"], "0x01", [zeros(65)]), true],
    "a round of another form": [bft(zeros(32), [], [], "0x00", []), true],
    "a round that is a list": [bft(zeros(32), [zeros(20)], "0x", ["0x"], [zeros(65)]), true],
    "IBFT 2.0": [bft(zeros(32), [zeros(20)], "0x", zeros(4), [zeros(1)]), true],
    "a seal that is too long": [bft(zeros(32), [zeros(20)], "0x", zeros(4), [zeros(66)]), true],
  };
}

const hashOf = (header: Hex): Hex => {
  try {
    return parseHeader(header).hash;
  } catch {
    return keccak256(header);
  }
};

test("both checkers take the same headers, by the same hashes", async () => {
  const was = await approvedIn(at.ledger.place, "web");
  const good = { ...(await at.take()), ...bundleProofs([was], null) };
  const [web] = good.baselines;
  const made = Object.entries(forms(was.approval!.header.rlp)).flatMap(([name, [rlp, isOne]]) => {
    const hash = hashOf(rlp);
    const header = Buffer.from(rlp.slice(2), "hex").toString("base64");
    const bundle = (blockHash: Hex) =>
      forgedBundle({
        ...good,
        baselines: [{ ...web!, registry: { ...web!.registry!, blockHash } }],
        ledger: { ...good.ledger, blocks: [{ header, above: [] }] },
      });
    // By the hash over all of it a block with seals is not known.
    const whole = keccak256(rlp);
    const right = { name, bundle: bundle(hash), isOne };
    return whole === hash ? [right] : [right, { name: `${name}, whole`, bundle: bundle(whole), isOne: false }];
  });
  const anchors = [`--ak=${at.key}`, `--baseline=${web!.root}`, "--undated"];
  const checked = await at.checkAll(Object.fromEntries(made.map(({ name, bundle }) => [name, bundle])), anchors);
  assert.equal(checked.length, 32);
  for (const [index, { name, statuses, ours, theirs }] of checked.entries()) {
    const status = made[index]!.isOne ? 0 : 2;
    assert.deepEqual(statuses, [status, status], `${name}: ${ours} ${theirs}`);
  }
});

test("a contract that says the same by other code proves nothing", async () => {
  const { place, folder } = at.ledger;
  const node = await startNode(file, folder);
  const rpc = openRpc(node.url);
  const { deployedBytecode } = artifactOf("BaselineRegistry");
  const was = await approvedIn(place, "web");
  const identity = was.approval!.proposal.identity;
  const attempt = async (code: Hex) => {
    await node.cheat("anvil_setCode", [place.registry, code]);
    await node.cheat("evm_mine", []);
    const header = verifyHeader(await rpc.call("eth_getBlockByNumber", ["latest", false]));
    const nodes: Hex[] = [];
    const reading = readStanding({ chainId: was.approval!.chainId, address: was.approval!.contract }, identity);
    for (let step = reading.next(); !step.done; ) {
      const slots = step.value;
      const proof = proofSchema.parse(
        await rpc.call("eth_getProof", [place.registry, slots, { blockHash: header.hash }]),
      );
      nodes.push(...proof.accountProof, ...proof.storageProof.flatMap((one) => one.proof));
      step = reading.next(proof.storageProof.map(({ value }) => padHex(value, { size: 32 })));
    }
    // As `bundleProofs`, which would notice it itself.
    const collector = new NodeCollector(nodes);
    const { storageRoot } = readAccount(header.stateRoot, was.approval!.contract, collector.take)!;
    const words = (slots: readonly Hex[]) => slots.map((slot) => readSlot(storageRoot, slot, collector.take));
    standingIn({ chainId: was.approval!.chainId, address: was.approval!.contract }, identity, words);
    const base64 = (hex: Hex) => Buffer.from(hex.slice(2), "hex").toString("base64");
    const { identity: image, root, lines } = was;
    const registry = { ...registryOf(was.approval!), block: `${header.number}`, blockHash: header.hash };
    const bundle = forgedBundle({
      ...(await at.take()),
      baselines: [{ identity: image, root, lines: [...lines], registry }],
      ledger: { blocks: [{ header: base64(header.rlp), above: [] }], nodes: collector.taken.map(base64) },
    });
    const known = [`--ak=${at.key}`, `--block=${header.hash}`, `--registry=${was.approval!.contract}`, "--undated"];
    return (await at.checkAll({ bundle }, known))[0]!;
  };
  const same = await attempt(deployedBytecode);
  assert.deepEqual(same.statuses, [0, 0], same.ours + same.theirs);
  const other = await attempt(`${deployedBytecode}00`);
  assert.deepEqual(other.statuses, [2, 2]);
  assert.match(other.ours, /the contract at 0x[0-9a-f]{40} is no BaselineRegistry of this version/);
  assert.match(other.theirs, /^ledger: FAILED, 0x[0-9a-f]{40} is no contract of this version for registry$/m);
});
