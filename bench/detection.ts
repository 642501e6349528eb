// How long it takes until an attack is known to the agent: from the instant before the attacker's first system call to the
// instant at which the sweeper hands over the fact. Logging, judging and attesting come after it and are not counted.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Executed } from "../src/agent/executed.ts";
import { openProcConnector } from "../src/kernel/proc-connector.ts";
import type { Fact } from "../src/measure/facts.ts";
import { Sweeper, type SweepResult } from "../src/measure/sweep.ts";
import type { Deed } from "./attacker.ts";
import { makeCgroup, removeCgroup } from "./cgroup.ts";
import { type DetectionRow, withDetectionTable } from "./detection-table.ts";
import { quantile, round } from "./statistics.ts";

const TRIES = Number(process.argv[2] ?? 110);
const SWEEP_INTERVAL_MS = 1000;
const DEADLINE_MS = 600_000;
const RESULTS = join(import.meta.dirname, "results");
const PAGE = join(import.meta.dirname, "../docs/performance.md");

/** When each fact was first known: by process and mark. */
const known = new Map<string, { at: bigint; by: "event" | "sweep" }>();
const deeds: Deed[] = [];

/** What a fact says of a process that an attack can be known by: a digest, or how the code comes to be there. */
function marksOf(fact: Fact): string[] {
  if (fact.kind === "modified") return ["modified"];
  if (fact.kind === "writable") return ["writable"];
  if (fact.kind === "listener") return [`${fact.listener.protocol}/${fact.listener.port}`];
  if (fact.kind === "start") return fact.start.script?.sha256 == null ? [] : [fact.start.script.sha256];
  if (fact.kind !== "code") return [];
  const { sha256, backing, deleted, place } = fact.object;
  return [sha256, backing, deleted ? "deleted" : null, place].filter((mark) => mark !== null);
}

function take({ facts }: SweepResult, by: "event" | "sweep"): void {
  const now = process.hrtime.bigint();
  for (const fact of facts)
    for (const mark of marksOf(fact)) {
      const key = `${fact.process.pid} ${mark}`;
      if (!known.has(key)) known.set(key, { at: now, by });
    }
}

const folder = mkdtempSync(join(tmpdir(), "pims-detection-"));
const sweeper = new Sweeper({ scope: "containers" });
const stopping = new AbortController();
const executed = new Executed(
  sweeper,
  (result) => take(result, "event"),
  (error) => console.error(error),
);
const events = await openProcConnector({
  onExec: (pids) => void executed.note(pids),
  onError: (error) => console.error(error),
});
// The first one hashes what all programs of this machine have mapped, and no agent begins with an attack.
take(await sweeper.sweep(), "sweep");
const attacker = fork(join(import.meta.dirname, "attacker.ts"), [folder, String(TRIES)]);
// What it starts is then what the agent watches.
const cgroup = makeCgroup();
writeFileSync(join(cgroup, "cgroup.procs"), String(attacker.pid));
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
  await executed.stop();
  await removeCgroup(cgroup);
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

const rows: DetectionRow[] = [...Map.groupBy(deeds, ({ attack }) => attack)].map(([attack, done]) => {
  const seen = done.flatMap(({ pid, mark, start }) => {
    const found = known.get(`${pid} ${mark}`);
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
// Fewer tries are for a look.
if (TRIES >= 100) {
  mkdirSync(RESULTS, { recursive: true });
  const schema = "pims.bench-detection/v1";
  writeFileSync(join(RESULTS, "detection.json"), `${JSON.stringify({ schema, rows }, null, 2)}\n`);
  writeFileSync(PAGE, withDetectionTable(readFileSync(PAGE, "utf8"), rows));
}
process.exitCode = rows.length > 0 && rows.every(({ tries, detected }) => tries === detected) ? 0 : 1;
