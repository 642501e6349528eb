// Kills the embedded chain 200 times, or as often as the argument says. Exit status 1 when anything that it had
// acknowledged or shown was lost.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LedgerKillSuite } from "./ledger-suite.ts";

const count = Number(process.argv[2] ?? 200);
if (!Number.isInteger(count) || count < 1) {
  console.error("usage: node test/kills/run-ledger.ts [KILLS]");
  process.exit(1);
}
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
const folder = await mkdtemp(join(tmpdir(), "pims-kills-"));
const suite = new LedgerKillSuite(folder, (problem) => console.log(`NOT OK ${problem}`));
const { counts } = suite;
const timer = setInterval(() => console.log(`${counts.passed} kills so far`), 60_000);
try {
  await suite.run(count, stopping.signal);
} finally {
  clearInterval(timer);
  await rm(folder, { recursive: true, force: true });
}
console.log(`${counts.early} kills while the chain was started, the others while it took transactions`);
console.log(
  `${counts.acknowledged} transactions were acknowledged, each is in the chain once; ${counts.torn} journals ended in the middle of a line`,
);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed > 0 || counts.passed < count ? 1 : 0);
