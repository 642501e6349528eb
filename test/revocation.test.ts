// A revoked baseline, with agent, gate and verifier as they run: what each says and does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pimsMeanwhile } from "./pims.ts";
import { isUnknown, logged, openSite, READY_MS, says, whenExecuted, whenRefused } from "./revocation-site.ts";

test("a revocation reaches verifier, agent and gate, and an approval after it, too; nothing is held against the container", async (t) => {
  const opened = await openSite(t);
  const { site, container, identity, publish, agent } = opened;
  await says(site, container, "trusted", ({ status, gate }) => status === "trusted" && (gate?.watched ?? 0) > 0);
  await whenExecuted(opened, "before");
  const status = await pimsMeanwhile(["status", "--verifier", site.view.address]);
  assert.match(status.stdout, /^ledger: registry 0x[0-9a-f]{40} on chain \d+\n {2}block \d+ of /m);
  assert.match(status.stdout, /^ {2}the embedded chain protects against nobody who is root on its machine$/m);

  const refused = whenRefused(opened, "refused");
  await site.revokeBaseline(identity);
  await says(site, container, "the revocation", isUnknown("baseline-revoked"));
  await agent.waitFor(/^pims: a publisher has revoked/, READY_MS);
  await refused;
  await agent.waitFor(/is refused unjudged: a publisher has revoked/, READY_MS);

  await publish();
  await says(site, container, "trusted again", ({ status }) => status === "trusted");
  await whenExecuted(opened, "after");
  const { violations, gaps } = await logged(site, container);
  assert.deepEqual(violations, []);
  assert.equal(gaps.filter((text) => /unjudged: a publisher has revoked/.test(text)).length, 1, gaps.join("\n"));
});
