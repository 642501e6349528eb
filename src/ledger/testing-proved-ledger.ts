// A ledger with something to lie about, and readers of it.
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Hex } from "viem";
import type { LedgerConfig } from "./config.ts";
import { type FollowedStore, followedInMemory } from "./header/followed-chain.ts";
import { type HeightStore, heightsInMemory } from "./header/ledger-height.ts";
import { ProvedLedger } from "./proved-ledger.ts";
import { revokeBaseline } from "./revoke.ts";
import { type Ending, ending, startTestLedger, testActions, testIdentity, testLines } from "./testing.ts";
import { startNode } from "./testing-endpoints.ts";

/** Its chain, two honest nodes of it, and the ids of its proposals; the revocation is in the last block. */
export async function startTruth(t: Ending) {
  const ledger = await startTestLedger(t);
  const ids = new Map<string, Hex>();
  const actions = testActions(ledger.place);
  const [a, b] = ledger.publishers;
  for (const name of ["web", "proposed", "gone"]) {
    const { id } = await actions.propose(a, testLines(name, 20));
    ids.set(name, id);
    if (name !== "proposed") await actions.approve(b, id);
  }
  await revokeBaseline({ ...ledger.place, key: a, id: ids.get("gone")! });
  const honest: [string, string] = [ledger.chain.url, (await startNode(t, ledger.folder)).url];
  return { ledger, ids, honest };
}

export const truth = { web: "approved", proposed: "proposed", gone: "revoked", nobody: "none" };
export type Settings = Partial<LedgerConfig> & {
  heights?: HeightStore;
  followed?: FollowedStore;
  timeoutMs?: number;
  nowMs?: number;
};

/** A reader of these endpoints whose clock the test moves, and what it said of them. */
export function openReader(
  registry: string,
  urls: readonly string[],
  { heights = heightsInMemory(), followed = followedInMemory(), timeoutMs = 5000, nowMs, ...config }: Settings = {},
) {
  const clock = { ms: 0, now: () => nowMs ?? Date.now(), monotonicMs: () => clock.ms };
  const said: string[] = [];
  const [url, ...witnesses] = urls as [string, ...string[]];
  const report = (text: string): void => void said.push(text);
  const reader = new ProvedLedger(
    { url, witnesses, registry, ...config },
    { clock, heights, followed, timeoutMs, report },
  );
  const statusOf = async (name: string) => (await reader.standingOf(testIdentity(name))).status;
  return {
    ...{ clock, said, reader, statusOf },
    async all(): Promise<Record<string, string>> {
      const found: Record<string, string> = {};
      for (const name of Object.keys(truth)) found[name] = await statusOf(name);
      return found;
    },
    async linesOf(name: string) {
      const standing = await reader.standingOf(testIdentity(name));
      assert.ok(standing.status === "approved");
      return (await reader.baselineOf(standing.proposal)).lines;
    },
  };
}

/** Of one test, undone in reverse order: what stands in a folder before the folder. */
export function endingOf(t: TestContext) {
  const collected = ending();
  t.after(() => collected.end());
  return collected;
}
