// Headers of every form, each with the hash that it has: both checkers of bundles take the same ones.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fromRlp, type Hex, keccak256, toRlp } from "viem";
import { istanbulDigest } from "../src/ledger/bft-extra.ts";
import { parseHeader } from "../src/ledger/block-header.ts";
import { ending } from "../src/ledger/testing.ts";
import { bundleProofs } from "../src/verifier/bundle-proofs.ts";
import { approvedIn, forgedBundle } from "./bundle-forging.ts";
import { site } from "./bundle-site.ts";

const file = ending();
after(() => file.end());

const zeros = (bytes: number): Hex => `0x${"00".repeat(bytes)}`;
type Items = readonly (Hex | readonly unknown[])[];
const rlpOf = (items: Items): Hex => toRlp(items as Hex[]);

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
  const at = await site(file);
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
