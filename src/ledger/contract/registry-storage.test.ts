import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Hex, hexToBigInt, numberToHex } from "viem";
import { openRegistry } from "../open-ledger.ts";
import { requireProposal } from "../proposal.ts";
import { revokeBaseline, supersedeBaseline } from "../revoke.ts";
import { openRpc } from "../rpc/rpc.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "../testing.ts";
import { identityToHash } from "./identity.ts";
import { currentSlot, parseStanding, proposalSlot, type proposalWords, registrySlots } from "./registry-storage.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
before(async () => {
  ledger = await startTestLedger(file);
});

const wordAt = (slot: Hex) =>
  openRpc(ledger.chain.url).call("eth_getStorageAt", [ledger.place.registry, slot, "latest"]) as Promise<Hex>;
const hex = (value: bigint, size: number) => value.toString(16).padStart(2 * size, "0");

test("the compiler's layout is the one that is written down", () => {
  const path = join(import.meta.dirname, "../../../contracts/artifacts/BaselineRegistry.json");
  const { storage } = JSON.parse(readFileSync(path, "utf8")) as { storage: { label: string; slot: string }[] };
  const slots = Object.fromEntries(storage.map(({ label, slot }) => [label, BigInt(slot)]));
  const { roles, governance, publishers, signed, seconds, proposals, current, latest, revisions, identities } =
    registrySlots;
  assert.deepEqual(slots, {
    ...{ _roles: roles, quorum: governance, epoch: governance, successor: governance, _publishers: publishers },
    ...{ _signed: signed, _seconds: seconds, _proposals: proposals, _current: current, _latest: latest },
    ...{ _revision: revisions, _identities: identities },
  });
});

test("storage that is read at these slots says what the contract says", async () => {
  const actions = testActions(ledger.place);
  const [a, b] = ledger.publishers;
  const ids: Hex[] = [];
  for (const name of ["one", "two"]) {
    const { id } = await actions.propose(a, testLines(name, 3));
    await actions.approve(b, id);
    ids.push(id);
  }
  const [id, by] = ids as [Hex, Hex];
  assert.equal(await wordAt(currentSlot(identityToHash(testIdentity("one")))), id);
  assert.equal(hexToBigInt(await wordAt(currentSlot(identityToHash(testIdentity("nobody's"))))), 0n);
  const proposal = await requireProposal(await openRegistry(ledger.place), id);
  const word = (name: keyof typeof proposalWords) => wordAt(proposalSlot(id, name));
  assert.equal(await word("identity"), proposal.identity);
  assert.equal(await word("root"), proposal.root);
  assert.equal(await word("dataHash"), proposal.dataHash);
  assert.equal(hexToBigInt(await word("nextHash")), 0n);
  const { lines, delivered, chunks, proposer, epoch, lastBlock, firstBlock, revision } = proposal;
  assert.equal(
    await word("parts"),
    `0x${[lines, delivered, chunks].map((part) => hex(BigInt(part), 4)).join("")}${proposer.slice(2).toLowerCase()}`,
  );
  assert.equal(
    await word("blocks"),
    `0x${hex(2n, 4)}${hex(BigInt(epoch), 4)}${[lastBlock, firstBlock, revision].map((part) => hex(part, 8)).join("")}`,
  );
  assert.ok(firstBlock > 0n && lastBlock > firstBlock);
  const standing = { approved: true, revoked: false, until: 0n };
  assert.deepEqual(parseStanding(await word("standing")), standing);
  const superseded = await supersedeBaseline({ ...ledger.place, key: a, id, by, overlapSeconds: 3600 });
  const until = superseded.until!;
  assert.deepEqual(parseStanding(await word("standing")), { ...standing, until });
  await revokeBaseline({ ...ledger.place, key: b, id });
  assert.deepEqual(parseStanding(await word("standing")), { ...standing, until, revoked: true });
  const governance = hexToBigInt(await wordAt(numberToHex(registrySlots.governance, { size: 32 })));
  assert.equal(governance, 2n, "quorum of two, first epoch, no successor");
});
