// A revoked baseline, and a ledger that is lost, with agent, gate and verifier as they run: what each says and does.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ContainerReport } from "../src/attest/report.ts";
import { type DemoContainer, openDemoRuntime } from "../src/demo/containers.ts";
import { prepareImages } from "../src/demo/images.ts";
import { Platform } from "../src/demo/platform.ts";
import type { LedgerConfig } from "../src/ledger/config.ts";
import { readLog } from "../src/log/read-log.ts";
import { parseRecord } from "../src/log/record.ts";
import { readIf, until } from "./gate-site.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const READY_MS = 30_000;
type Site = Awaited<ReturnType<typeof openSite>>;

async function openSite(t: TestContext, ledger: Partial<LedgerConfig> = {}) {
  const site = new Platform(temporaryFolder(t));
  t.after(() => site.close());
  const images = await prepareImages();
  const runtime = await openDemoRuntime({ kind: "runc" });
  t.after(() => runtime.cleanup());
  await site.startTpm("swtpm");
  await site.startLedger(ledger);
  const publish = () => site.publishBaseline(runtime, images.web);
  const { identity } = (await publish()).header;
  await site.startVerifier();
  const gate = {
    mode: "off" as const,
    containers: [{ name: runtime.namePattern, mode: "enforce" as const }],
    unanswered: "deny" as const,
    exceptions: [],
  };
  const startAgent = () => site.startAgent("nobody", { gate, sweepIntervalMs: 500, attestIntervalMs: 500 });
  const agent = await startAgent();
  const volume = join(site.folder, "web");
  await mkdir(volume);
  const container = await runtime.start({ name: "web", image: images.web, identity, volume });
  return { ...{ site, runtime, container, identity, publish, agent, startAgent } };
}

/** Goes on executing a program of the image in the container; comes back when that is refused. */
async function whenRefused({ site, runtime, container }: Site, name: string): Promise<void> {
  const loop = `while /bin/sleep 0.05; do :; done 2>/dev/null; echo >/run/web/${name}`;
  await runtime.exec(container, ["/bin/sh", "-c", loop]);
  await until("the gate's refusal", async () => (await readIf(join(site.folder, "web", name))) !== null || null);
}

/** Comes back when a program of the image is executed in the container. */
async function whenExecuted({ site, runtime, container }: Site, name: string): Promise<void> {
  const path = join(site.folder, "web", name);
  await until("the gate's leave", async () => {
    await runtime.exec(container, ["/bin/sh", "-c", `echo >/run/web/${name}`]);
    return (await readIf(path)) !== null || null;
  });
}

/** What the log holds against the container, and the gaps. */
async function logged(site: Platform, { ref }: DemoContainer) {
  const { lines } = await readLog(site.logPath);
  const events = lines.flatMap((line, index) => parseRecord(line, index).events);
  return {
    violations: events.filter((event) => event.type === "violation" && event.container?.id === ref.id),
    gaps: events.flatMap((event) => (event.type === "gap" ? [event.text] : [])),
  };
}

const says = (site: Platform, { ref }: DemoContainer, what: string, wished: (one: ContainerReport) => boolean) =>
  site.view.waitUntil(what, READY_MS, new AbortController().signal, ({ containers }) =>
    containers.some((one) => one.container.id === ref.id && wished(one)),
  );
const isUnknown = (reason: string) => (one: ContainerReport) =>
  one.status === "unknown" && one.reasons.some((why) => why.reason === reason);

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
