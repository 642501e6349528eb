import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { bytesToHex, encodeFunctionData, type Hex } from "viem";
import { parseBaseline } from "../baseline/format.ts";
import { hashChain, maxChunkBytes, packLines } from "./contract/entry-data.ts";
import { zeroHash } from "./contract/identity.ts";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { openRegistry } from "./open-ledger.ts";
import { type ProposalParts, proposalId } from "./proposal.ts";
import { proposeBaseline } from "./propose.ts";
import {
  ending,
  reverts,
  startTestLedger,
  type TestActions,
  type TestLedger,
  testActions,
  testLines,
  testParts,
} from "./testing.ts";

let ledger: TestLedger;
let actions: TestActions;
let a: LedgerKey;
let b: LedgerKey;
let c: LedgerKey;

const file = ending();
after(() => file.end());
before(async () => {
  ledger = await startTestLedger(file);
  actions = testActions(ledger.place);
  [a, b, c] = ledger.publishers;
});

test("incomplete entry data cannot be approved, and only the proposed pieces fit, in order", async () => {
  const chunks = [randomBytes(100), randomBytes(200), randomBytes(50)];
  const links = hashChain(chunks);
  const id = await actions.proposeOnly(a, testParts("pieces", chunks));
  const data = encodeFunctionData({ abi, functionName: "approve", args: [id] });
  const wrong = reverts("WrongChunk");
  await assert.rejects(actions.send(b, data), reverts("IncompleteData"));
  await assert.rejects(actions.deliver(a, id, 1, chunks[1]!, links[2]!), wrong);
  await assert.rejects(actions.deliver(a, id, 1, chunks[0]!, links[1]!), wrong);
  await assert.rejects(actions.deliver(a, id, 0, randomBytes(100), links[1]!), wrong);
  await assert.rejects(actions.deliver(a, id, 0, chunks[0]!, links[2]!), wrong);
  await assert.rejects(actions.deliver(a, id, 0, chunks[0]!, zeroHash), wrong);
  await assert.rejects(actions.deliver(a, id, 0, new Uint8Array(0), links[1]!), wrong);
  await actions.deliver(a, id, 0, chunks[0]!, links[1]!);
  await assert.rejects(actions.deliver(a, id, 0, chunks[0]!, links[1]!), wrong);
  await assert.rejects(actions.send(b, data), reverts("IncompleteData"));
  await assert.rejects(actions.approve(b, id), { code: "ledger-refused", message: /1 of 3 pieces/ });
  await actions.deliver(c, id, 1, chunks[1]!, links[2]!); // another publisher helps out
  await actions.deliver(a, id, 2, chunks[2]!, links[3]!);
  await assert.rejects(actions.deliver(a, id, 3, chunks[2]!, zeroHash), wrong);
  await assert.rejects(actions.approve(b, id), { code: "baseline-altered" }, "random bytes are no baseline");
  assert.equal((await actions.read("pieces")).status, "proposed");
});

test("a hash chain that is shorter or longer than its number of pieces fits nothing", async () => {
  const chunk = randomBytes(10);
  const [one] = hashChain([chunk]);
  const shorter = await actions.proposeOnly(a, { ...testParts("short", [chunk]), chunks: 2 });
  await assert.rejects(actions.deliver(a, shorter, 0, chunk, zeroHash), reverts("WrongChunk"));
  const longer = await actions.proposeOnly(a, { ...testParts("longer", [chunk, chunk]), chunks: 1 });
  await assert.rejects(actions.deliver(a, longer, 0, chunk, one!), reverts("WrongChunk"));
});

test("a piece of no bytes is refused, also when it was proposed", async () => {
  const id = await actions.proposeOnly(a, testParts("empty", [new Uint8Array(0)]));
  await assert.rejects(actions.deliver(a, id, 0, new Uint8Array(0), zeroHash), reverts("WrongChunk"));
});

test("a piece longer than 96 KiB less its envelope is refused by the contract itself", async () => {
  const chunk = randomBytes(maxChunkBytes + 1);
  const id = await actions.proposeOnly(a, testParts("long", [chunk]));
  await assert.rejects(actions.deliver(a, id, 0, chunk, zeroHash), reverts("WrongChunk"));
});

test("proposals without identity, root, data, pieces or lines, or with too many pieces, are refused", async () => {
  const good = testParts("bad", [randomBytes(1)]);
  const bad: Partial<ProposalParts>[] = [
    { identity: zeroHash },
    { root: zeroHash },
    { dataHash: zeroHash },
    { chunks: 0 },
    { chunks: 257 },
    { lines: 0 },
  ];
  for (const part of bad) {
    await assert.rejects(actions.proposeOnly(a, { ...good, ...part }), reverts("BadProposal"), JSON.stringify(part));
  }
  const unknown = bytesToHex(randomBytes(32));
  await assert.rejects(actions.deliver(a, unknown, 0, new Uint8Array(1), zeroHash), reverts("UnknownProposal"));
  await assert.rejects(
    actions.send(a, encodeFunctionData({ abi, functionName: "approve", args: [unknown] })),
    reverts("UnknownProposal"),
  );
  await assert.rejects(actions.approve(a, unknown), { code: "ledger-refused", message: /has no proposal/ });
  await assert.rejects(actions.approve(a, "12"), { code: "proposal-malformed" });
});

test("a proposal that was broken off is completed by proposing again, by whichever publisher", async () => {
  const lines = testLines("resume", 2500);
  const { chunks, links } = packLines(lines);
  assert.ok(chunks.length >= 2);
  const root = bytesToHex(parseBaseline(lines).root);
  const parts = { ...testParts("resume", chunks), root, lines: lines.length };
  const id = await actions.proposeOnly(a, parts);
  await assert.rejects(actions.proposeOnly(b, parts), reverts("AlreadyProposed"));
  await actions.deliver(a, id, 0, chunks[0]!, links[1]!);
  const steps: string[] = [];
  const onProgress = (done: number, total: number) => void steps.push(`${done}/${total}`);
  const resumed = await proposeBaseline({ ...ledger.place, key: b, lines, onProgress });
  assert.equal(resumed.id, id);
  assert.equal(resumed.transactions, chunks.length - 1);
  assert.equal(steps.at(-1), `${chunks.length - 1}/${chunks.length - 1}`);
  assert.equal((await actions.propose(b, lines)).transactions, 0, "nothing is left to send");
  assert.equal((await actions.approve(b, id)).status, "approved", "delivering is not signing");
});

test("the id differs between chains, contracts and in every part", async () => {
  const registry = await openRegistry(ledger.place);
  const h = (digit: string) => `0x${digit.repeat(64)}` as Hex;
  const parts = { epoch: 0, identity: h("1"), revision: 1n, root: h("2"), dataHash: h("3"), chunks: 1, lines: 1 };
  const ids = [
    proposalId(registry, parts),
    proposalId({ ...registry, chainId: registry.chainId + 1n }, parts),
    proposalId({ ...registry, address: a.address }, parts),
    proposalId(registry, { ...parts, epoch: 1 }),
    proposalId(registry, { ...parts, identity: h("4") }),
    proposalId(registry, { ...parts, revision: 2n }),
    proposalId(registry, { ...parts, root: h("4") }),
    proposalId(registry, { ...parts, dataHash: h("4") }),
    proposalId(registry, { ...parts, chunks: 2 }),
    proposalId(registry, { ...parts, lines: 2 }),
  ];
  assert.equal(new Set(ids).size, ids.length);
});

test("a proposal whose data is not what it says is signed by nobody", async () => {
  const lines = testLines("false", 3);
  const { chunks } = packLines(lines);
  const good = { ...testParts("false", chunks), root: bytesToHex(parseBaseline(lines).root), lines: lines.length };
  const other = testParts("victim", []).identity;
  const cases: [Partial<ProposalParts>, RegExp][] = [
    [{ root: `0x${"7".repeat(64)}` }, /Merkle root/],
    [{ lines: 3 }, /number of lines/],
    [{ identity: other }, /identity/],
  ];
  for (const [part, message] of cases) {
    const id = await actions.proposeOnly(a, { ...good, ...part });
    await actions.deliver(a, id, 0, chunks[0]!, zeroHash);
    await assert.rejects(actions.approve(b, id), { code: "baseline-altered", message });
  }
  const broken = [...lines.slice(0, 2), "{}", ...lines.slice(3)];
  const packed = packLines(broken).chunks;
  const id = await actions.proposeOnly(a, { ...testParts("false", packed), lines: broken.length });
  await actions.deliver(a, id, 0, packed[0]!, zeroHash);
  await assert.rejects(actions.approve(b, id), { code: "baseline-altered", message: /form/ });
});
