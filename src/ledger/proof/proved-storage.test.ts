// Of a registry that nobody changes a reader asks for one proof a block, however many images there are.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { heightsInMemory } from "../header/ledger-height.ts";
import { ProvedLedger } from "../proved-ledger.ts";
import { revokeBaseline } from "../revoke.ts";
import { openRpc } from "../rpc/rpc.ts";
import { sendTransaction } from "../send.ts";
import {
  ending,
  startTestLedger,
  type TestActions,
  type TestLedger,
  testActions,
  testIdentity,
  testLines,
} from "../testing.ts";
import { lieAbout } from "../testing-endpoints.ts";

const IMAGES = ["a", "b", "c", "d"];

const file = ending();
after(() => file.end());
let ledger: TestLedger;
let actions: TestActions;
before(async () => {
  ledger = await startTestLedger(file);
  actions = testActions(ledger.place);
  for (const name of IMAGES) {
    const { id } = await actions.propose(ledger.publishers[0], testLines(name, 1));
    await actions.approve(ledger.publishers[1], id);
  }
});

/** A ledger behind an endpoint that counts proofs, and a clock by which each round asks for a newer block. */
async function counted() {
  const asked = { proofs: 0 };
  const url = await lieAbout(file, ledger.chain.url, (method, result) => {
    if (method === "eth_getProof") asked.proofs++;
    return result;
  });
  const clock = { ms: 0, now: systemClock.now, monotonicMs: () => clock.ms };
  const modules = { clock, heights: heightsInMemory(), timeoutMs: 5000, report: () => {} };
  const reader = new ProvedLedger({ url, registry: ledger.place.registry }, modules);
  const round = async () => {
    clock.ms += 2000;
    asked.proofs = 0;
    return Promise.all(IMAGES.map((name) => reader.standingOf(testIdentity(name))));
  };
  return { asked, round };
}

/** A block in which nothing happens to the registry. */
async function elsewhere(): Promise<void> {
  const call = { to: ledger.deployer.address, data: "0x" } as const;
  await sendTransaction(openRpc(ledger.chain.url), ledger.chain.chainId, ledger.publishers[0], call);
}

test("what was proved of an unchanged registry is not asked for again at a later block, and proves as much", async () => {
  const { asked, round } = await counted();
  const first = await round();
  assert.equal(asked.proofs, 1 + 2 * IMAGES.length);
  const same = await round();
  assert.equal(asked.proofs, 0, "the same block says the same");
  assert.deepEqual(same, first);

  await elsewhere();
  const later = await round();
  assert.equal(asked.proofs, 1, "another block, the same storage");
  const fresh = await (await counted()).round();
  for (const [index, standing] of later.entries()) {
    assert.ok(standing.proved.header.number > first[index]!.proved.header.number);
    assert.deepEqual(standing, fresh[index], "node for node what somebody is given who knows nothing");
  }
});

test("one change, and everything is proved anew: what was revoked is so at the next block", async () => {
  const { asked, round } = await counted();
  const before = await round();
  const [revoked] = before;
  assert.ok(revoked?.status === "approved");
  await revokeBaseline({ ...ledger.place, key: ledger.publishers[2], id: revoked.proposal.id });
  const now = await round();
  assert.equal(asked.proofs, 1 + 2 * IMAGES.length);
  assert.deepEqual(
    now.map(({ status }) => status),
    ["revoked", "approved", "approved", "approved"],
  );
});
