// Kills a process that writes a log 1000 times, or as often as the argument says. Exit status 1 when anything was lost,
// counted twice or did not agree.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KillSuite } from "./suite.ts";

const count = Number(process.argv[2] ?? 1000);
if (!Number.isInteger(count) || count < 1) {
  console.error("usage: node test/kills/run.ts [KILLS]");
  process.exit(1);
}
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
const folder = await mkdtemp(join(tmpdir(), "pims-kills-"));
const suite = new KillSuite(folder, (problem) => console.log(`NOT OK ${problem}`));
const { counts } = suite;
const timer = setInterval(() => console.log(`${counts.passed} kills so far`), 60_000);
try {
  await suite.run(count, stopping.signal);
} finally {
  clearInterval(timer);
  await rm(folder, { recursive: true, force: true });
}
const { events, records, proved, pruned, early, verifier } = counts;
console.log(
  `${early} kills while the log was opened, the others while it was appended to; ${verifier} of the verifier`,
);
console.log(
  `${events} numbered events in ${records} records, ${proved} of them proved and ${pruned} of those removed: each once, in order, none lost`,
);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed > 0 || counts.passed < count ? 1 : 0);
