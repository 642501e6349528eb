// How long it takes until an attack is known to the agent: from the instant before the attacker's first system call to the
// instant at which the sweeper hands over the fact. Logging, judging and attesting come after it and are not counted.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { openProcConnector } from "../src/kernel/proc-connector.ts";
import { Sweeper, type SweepResult } from "../src/measure/sweep.ts";
import type { Deed } from "./attacker.ts";
import { quantile, round } from "./statistics.ts";

const TRIES = 110;
const SWEEP_INTERVAL_MS = 1000;
const DEADLINE_MS = 230_000;
const RESULTS = join(import.meta.dirname, "results");

/** When each fact was first known: by process and file digest, or by process alone for an overwritten page. */
const known = new Map<string, { at: bigint; by: "event" | "sweep" }>();
const deeds: Deed[] = [];

function take({ facts }: SweepResult, by: "event" | "sweep"): void {
  const now = process.hrtime.bigint();
  for (const fact of facts) {
    const key = fact.kind === "code" ? `${fact.process.pid} ${fact.object.sha256}` : `${fact.process.pid} ${fact.kind}`;
    if (!known.has(key)) known.set(key, { at: now, by });
  }
}

const folder = mkdtempSync(join(tmpdir(), "pims-detection-"));
const sweeper = new Sweeper({ scope: "all" });
const stopping = new AbortController();
const events = await openProcConnector({
  onExec: (pids) => void sweeper.measure(pids).then((result) => take(result, "event")),
  onError: (error) => console.error(error),
});
const attacker = fork(join(import.meta.dirname, "attacker.ts"), [folder, String(TRIES)]);
const exited = once(attacker, "exit");
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => attacker.kill("SIGTERM"));
const timer = setTimeout(() => attacker.kill("SIGTERM"), DEADLINE_MS);
try {
  const sweeps = sweepLoop();
  const finished = new Promise<void>((resolve, reject) => {
    attacker.on("message", (message: Deed | "done") => {
      if (message === "done") resolve();
      else deeds.push(message);
    });
    attacker.on("exit", () => reject(new Error("the attacker ended early")));
  });
  await Promise.race([finished, sweeps]);
  stopping.abort();
  await sweeps;
} finally {
  clearTimeout(timer);
  stopping.abort();
  if (attacker.connected) attacker.send("end");
  await exited;
  await events.close();
  await sweeper.close();
  rmSync(folder, { recursive: true, force: true });
}

/** The agent's cadence: a sweep begins a second after the last one began. */
async function sweepLoop(): Promise<void> {
  while (!stopping.signal.aborted) {
    const start = performance.now();
    take(await sweeper.sweep(), "sweep");
    const rest = SWEEP_INTERVAL_MS - (performance.now() - start);
    await wait(Math.max(0, rest), undefined, { signal: stopping.signal }).catch(() => undefined);
  }
}

const rows = [...Map.groupBy(deeds, ({ attack }) => attack)].map(([attack, done]) => {
  const seen = done.flatMap(({ pid, digest, start }) => {
    const found = known.get(digest === null ? `${pid} modified` : `${pid} ${digest}`);
    return found === undefined ? [] : [{ by: found.by, ms: Number(found.at - BigInt(start)) / 1e6 }];
  });
  const times = seen.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share: number) => (times.length === 0 ? null : round(quantile(times, share)));
  const byEvent = seen.filter(({ by }) => by === "event").length;
  return {
    attack,
    tries: done.length,
    detected: seen.length,
    byEvent,
    bySweep: seen.length - byEvent,
    minMs: at(0),
    medianMs: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
  };
});
console.table(rows);
mkdirSync(RESULTS, { recursive: true });
writeFileSync(
  join(RESULTS, "detection.json"),
  `${JSON.stringify({ schema: "pims.bench-detection/v1", rows }, null, 2)}\n`,
);
process.exitCode = rows.length > 0 && rows.every(({ tries, detected }) => tries === detected) ? 0 : 1;
