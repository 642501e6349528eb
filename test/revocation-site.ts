// One container under an enforcing gate, with agent, verifier and ledger as they run.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ContainerReport } from "../src/attest/report.ts";
import { type DemoContainer, openDemoRuntime } from "../src/demo/containers.ts";
import { prepareImages } from "../src/demo/images.ts";
import { Platform } from "../src/demo/platform.ts";
import type { LedgerConfig } from "../src/ledger/config.ts";
import { readLog } from "../src/log/read-log.ts";
import { parseRecord } from "../src/log/record.ts";
import { readIf, until } from "./gate-site.ts";
import { temporaryFolder } from "./pims.ts";

export const READY_MS = 30_000;
type Site = Awaited<ReturnType<typeof openSite>>;

export async function openSite(t: TestContext, ledger: Partial<LedgerConfig> = {}) {
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
export async function whenRefused({ site, runtime, container }: Site, name: string): Promise<void> {
  const loop = `while /bin/sleep 0.05; do :; done 2>/dev/null; echo >/run/web/${name}`;
  await runtime.exec(container, ["/bin/sh", "-c", loop]);
  await until("the gate's refusal", async () => (await readIf(join(site.folder, "web", name))) !== null || null);
}

/** Comes back when a program of the image is executed in the container. */
export async function whenExecuted({ site, runtime, container }: Site, name: string): Promise<void> {
  const path = join(site.folder, "web", name);
  await until("the gate's leave", async () => {
    await runtime.exec(container, ["/bin/sh", "-c", `echo >/run/web/${name}`]);
    return (await readIf(path)) !== null || null;
  });
}

/** What the log holds against the container, and the gaps. */
export async function logged(site: Platform, { ref }: DemoContainer) {
  const { lines } = await readLog(site.logPath);
  const events = lines.flatMap((line, index) => parseRecord(line, index).events);
  return {
    violations: events.filter((event) => event.type === "violation" && event.container?.id === ref.id),
    gaps: events.flatMap((event) => (event.type === "gap" ? [event.text] : [])),
  };
}

export const says = (site: Platform, { ref }: DemoContainer, what: string, wished: (one: ContainerReport) => boolean) =>
  site.view.waitUntil(what, READY_MS, new AbortController().signal, ({ containers }) =>
    containers.some((one) => one.container.id === ref.id && wished(one)),
  );
export const isUnknown = (reason: string) => (one: ContainerReport) =>
  one.status === "unknown" && one.reasons.some((why) => why.reason === reason);
