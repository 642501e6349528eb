// How long a violation could be lost to a reset of the host: from its way into the log until the verifier has accepted
// evidence of it, as the agent measures it and tells it in its next sweep record. Agent, verifier, chain and software TPM
// are the real ones, each a process of its own on this machine; so is the container in which foreign programs are run.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { z } from "zod";
import type { agentConfigSchema } from "../src/agent/config.ts";
import { startPims } from "../src/demo/pims-process.ts";
import { Platform } from "../src/demo/platform.ts";
import { makeRunFolder, removeTree } from "../src/demo/run-folder.ts";
import type { LogEvent } from "../src/log/event.ts";
import { readLog } from "../src/log/read-log.ts";
import { parseRecord } from "../src/log/record.ts";
import { requireRoot } from "../src/process/root.ts";
import { Containers, type Running } from "./containers.ts";
import { PYTHON } from "./exec-latency.ts";
import { quantile, round } from "./statistics.ts";
import { type WindowRow, withWindowTable } from "./window-table.ts";

const TRIES = Number(process.argv[2] ?? 50);
const ATTEST_INTERVAL_MS = 1000;
const READY_MS = 60_000;
const ROUND_MS = 20_000;
const RESULTS = join(import.meta.dirname, "results");
const PAGE = join(import.meta.dirname, "../docs/performance.md");

requireRoot("node bench/window.ts");
const closing: (() => Promise<void>)[] = [];
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () =>
    stopping.abort(new Error("the bench was interrupted; everything that it started has ended")),
  );
try {
  const folder = await makeRunFolder();
  closing.push(() => removeTree(folder));
  const platform = new Platform(folder);
  closing.push(() => platform.close());
  await platform.startTpm("swtpm");
  await platform.startLedger();
  await platform.startVerifier();
  const containers = await Containers.open(folder, platform);
  closing.push(() => containers.close());
  const container = await containers.start(await containers.image(PYTHON));
  await startAgent(platform);
  const values: number[] = [];
  for (let count = 0; count < TRIES; count++) {
    values.push(await tryOnce(platform, container, count));
    console.error(`${count + 1} of ${TRIES}: ${values.at(-1)} ms`);
    // At any point of the interval, so that now and then other evidence is on its way.
    await wait(Math.random() * ATTEST_INTERVAL_MS, undefined, { signal: stopping.signal });
  }
  keep(values.toSorted((a, b) => a - b));
} finally {
  for (const close of closing.reverse()) await close().catch((error: unknown) => console.error(error));
}

async function startAgent(platform: Platform): Promise<void> {
  const { folder, host, tpmAddress, pcr, ledger } = platform;
  const config: z.input<typeof agentConfigSchema> = {
    ...{ host, state: join(folder, "agent"), tpm: tpmAddress, pcr, ledger, attestIntervalMs: ATTEST_INTERVAL_MS },
    verifier: { joinFile: await platform.invite() },
  };
  const path = join(folder, "agent.json");
  await writeFile(path, JSON.stringify(config));
  const agent = startPims(["agent", "run", "--config", path]);
  closing.push(() => agent.stop());
  await agent.waitFor(/the verifier accepts the evidence/, READY_MS);
}

/** Runs a program that no image has, and waits for what its violation's proof came to. */
async function tryOnce({ logPath }: Platform, container: Running, count: number): Promise<number> {
  const path = `/tmp/foreign-${count}`;
  const script = `cp /bin/true ${path}; echo ${count} >> ${path}; ${path}; sleep 0.05; ${path}`;
  const before = (await eventsOf(logPath)).length;
  await container.exec("/bin/sh", "-c", script);
  for (
    const end = performance.now() + ROUND_MS;
    performance.now() < end;
    await wait(200, undefined, { signal: stopping.signal })
  ) {
    const events = (await eventsOf(logPath)).slice(before);
    const found = events.findIndex((event) => event.type === "violation" && event.object.path === path);
    if (found < 0) continue;
    // The first sweep record after it goes with its evidence; the second tells what that came to.
    const [, told] = events.slice(found).filter((event) => event.type === "sweep");
    if (told?.type === "sweep" && told.longestUnprovedMs !== null) return told.longestUnprovedMs;
  }
  throw new Error(`nothing was told of ${path}`);
}

async function eventsOf(logPath: string): Promise<LogEvent[]> {
  const { lines } = await readLog(logPath);
  return lines.flatMap((line, index) => [...parseRecord(line, index).events]);
}

function keep(sorted: readonly number[]): void {
  const at = (share: number) => round(quantile(sorted, share));
  const row: WindowRow = { tries: sorted.length, minMs: at(0), medianMs: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
  console.log(JSON.stringify(row));
  if (sorted.length < 50) return;
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(
    join(RESULTS, "window.json"),
    `${JSON.stringify({ schema: "pims.bench-window/v1", row, values: sorted }, null, 2)}\n`,
  );
  writeFileSync(PAGE, withWindowTable(readFileSync(PAGE, "utf8"), row));
}
