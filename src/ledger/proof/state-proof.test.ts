import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Hex, keccak256, toRlp } from "viem";
import { z } from "zod";
import { artifactOf } from "../contract/artifact.ts";
import { identityToHash } from "../contract/identity.ts";
import { currentSlot, parseStanding, proposalSlot } from "../contract/registry-storage.ts";
import { verifyHeader } from "../header/block-header.ts";
import { openRpc } from "../rpc/rpc.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "../testing.ts";
import { verifyAccount, verifySlot } from "./state-proof.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
let id: Hex;
before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  ({ id } = await actions.propose(ledger.publishers[0], testLines("proved", 2)));
  await actions.approve(ledger.publishers[1], id);
});

const hex = z.string().transform((text) => text as Hex);
const proofSchema = z.object({
  accountProof: z.array(hex),
  storageProof: z.array(z.object({ proof: z.array(hex) })),
});
const refused = { code: "ledger-unverified" };
const zero = `0x${"0".repeat(64)}`;

async function ask(address: string, slots: readonly Hex[]) {
  const rpc = openRpc(ledger.chain.url);
  const header = verifyHeader(await rpc.call("eth_getBlockByNumber", ["latest", false]));
  const answer = await rpc.call("eth_getProof", [address, slots, `0x${header.number.toString(16)}`]);
  return { header, ...proofSchema.parse(answer) };
}

function* altered(proof: readonly Hex[]): Generator<Hex[]> {
  for (const [index, node] of proof.entries())
    for (let at = 2; at < node.length; at += 2) {
      const byte = (Number.parseInt(node.slice(at, at + 2), 16) ^ 0x80).toString(16).padStart(2, "0");
      yield proof.with(index, `0x${node.slice(2, at)}${byte}${node.slice(at + 2)}`);
    }
}

test("the registry's account and slots are proved against the header of a real chain", async () => {
  const identity = identityToHash(testIdentity("proved"));
  const nobody = identityToHash(testIdentity("nobody's"));
  const slots = [currentSlot(identity), proposalSlot(id, "standing"), currentSlot(nobody)];
  const { registry } = ledger.place;
  const { header, accountProof, storageProof } = await ask(registry, slots);
  const account = verifyAccount(header.stateRoot, registry, accountProof)!;
  assert.equal(account.codeHash, keccak256(artifactOf("BaselineRegistry").deployedBytecode));
  assert.equal(account.nonce, 1n);
  const [current, standing, none] = storageProof.map(({ proof }) => proof);
  assert.equal(verifySlot(account.storageRoot, slots[0]!, current!), id);
  assert.deepEqual(parseStanding(verifySlot(account.storageRoot, slots[1]!, standing!)), {
    ...{ approved: true, revoked: false, until: 0n },
  });
  assert.equal(verifySlot(account.storageRoot, slots[2]!, none!), zero);
  // Each proof altered in every byte, and in the place of another.
  let tried = 0;
  for (const proof of altered(accountProof)) {
    assert.throws(() => verifyAccount(header.stateRoot, registry, proof), refused);
    tried++;
  }
  for (const [index, proof] of [current!, standing!, none!].entries())
    for (const other of altered(proof)) {
      assert.throws(() => verifySlot(account.storageRoot, slots[index]!, other), refused);
      tried++;
    }
  assert.ok(tried > 1000);
  assert.throws(() => verifySlot(account.storageRoot, slots[1]!, current!), refused);
  assert.throws(() => verifySlot(header.stateRoot, slots[0]!, current!), refused);
  assert.throws(() => verifyAccount(account.storageRoot, registry, accountProof), refused);
});

test("an address where nothing is, and an account without storage, are proved", async () => {
  const nobody = `0x${"00".repeat(19)}aa` as const;
  const { header, accountProof } = await ask(nobody, []);
  assert.equal(verifyAccount(header.stateRoot, nobody, accountProof), null);
  const { address } = ledger.deployer;
  const slot = currentSlot(identityToHash(testIdentity("proved")));
  const plain = await ask(address, [slot]);
  const account = verifyAccount(plain.header.stateRoot, address, plain.accountProof)!;
  assert.ok(account.nonce > 0n);
  assert.equal(verifySlot(account.storageRoot, slot, plain.storageProof[0]!.proof), zero);
});

test("accounts and words of no known form are refused, although they are in the trie", () => {
  const address = `0x${"11".repeat(20)}` as const;
  const slot = zero as Hex;
  const root = `0x${"22".repeat(32)}` as const;
  const held = (key: Hex, value: Hex): [Hex, Hex[]] => {
    const node = toRlp([`0x20${keccak256(key).slice(2)}`, value]);
    return [keccak256(node), [node]];
  };
  const account = (parts: Hex[] | Hex) => verifyAccount(...place(address, toRlp(parts)));
  const place = <K extends Hex>(key: K, value: Hex): [Hex, K, Hex[]] => {
    const [hash, proof] = held(key, value);
    return [hash, key, proof];
  };
  assert.deepEqual(account(["0x01", "0x", root, root]), {
    ...{ nonce: 1n, balance: 0n, storageRoot: root, codeHash: root },
  });
  const forms: (Hex[] | Hex)[] = [
    "0x1234",
    ["0x01", "0x", root],
    ["0x01", "0x", root, root, "0x"],
    ["0x0001", "0x", root, root],
    ["0x01", `0x01${"00".repeat(32)}`, root, root],
    ["0x01", "0x", "0x12", root],
    ["0x01", "0x", root, `${root}00`],
  ];
  for (const form of forms) assert.throws(() => account(form), refused, JSON.stringify(form));
  assert.equal(verifySlot(...place(slot, toRlp("0x05"))), `0x${"5".padStart(64, "0")}`);
  assert.equal(verifySlot(...place(slot, toRlp("0x"))), `0x${"0".repeat(64)}`, "anvil has such");
  for (const value of [toRlp("0x00"), toRlp("0x0005"), toRlp(["0x05"]), toRlp(`${root}00`), "0xb8", "0x0505"] as Hex[])
    assert.throws(() => verifySlot(...place(slot, value)), refused, value);
});
