// A ledger that is lost, with agent, gate and verifier as they run: what each says and does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pimsMeanwhile } from "./pims.ts";
import { isUnknown, logged, openSite, READY_MS, says, whenExecuted, whenRefused } from "./revocation-site.ts";

test("a ledger that is lost leaves everything as it is until the hold is over; then nothing is judged, and nobody accused", async (t) => {
  const opened = await openSite(t, { holdMs: 4000 });
  const { site, container, startAgent } = opened;
  await says(site, container, "trusted", ({ status, gate }) => status === "trusted" && (gate?.watched ?? 0) > 0);
  await site.stopLedger();
  await whenExecuted(opened, "held");
  const refused = whenRefused(opened, "refused");
  await says(site, container, "the end of the hold", isUnknown("ledger-unverified"));
  await refused;
  const status = await pimsMeanwhile(["status", "--verifier", site.view.address]);
  assert.match(
    status.stdout,
    /^ {2}nothing is proved now, ledger-unreachable: the chain at http:\S+ does not answer: start it/m,
  );
  assert.match(status.stdout, /^ {2}endpoint http:\S+ \(anvil\S+\) is at fault since .*does not answer$/m);

  await site.stopAgent();
  await whenExecuted(opened, "without");
  const again = whenRefused(opened, "again");
  const agent = await startAgent();
  await says(site, container, "no verdict", isUnknown("ledger-unverified"));
  await again;
  await agent.waitFor(/is refused unjudged: the chain at \S+ does not answer/, READY_MS);
  assert.deepEqual((await logged(site, container)).violations, []);
});
