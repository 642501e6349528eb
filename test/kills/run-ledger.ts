// Kills the embedded chain 200 times, or as often as the argument says. Exit status 1 when anything that it had
// acknowledged or shown was lost.
import { LedgerKillSuite } from "./ledger-suite.ts";
import { runSuite } from "./run-suite.ts";

await runSuite(
  "run-ledger.ts",
  200,
  (folder, report) => new LedgerKillSuite(folder, report),
  ({ early, acknowledged, torn }) => [
    `${early} kills while the chain was started, the others while it took transactions`,
    `${acknowledged} transactions were acknowledged, each is in the chain once; ${torn} journals ended in the middle of a line`,
  ],
);
