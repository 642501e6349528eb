// Kills a process that writes a log 1000 times, or as often as the argument says. Exit status 1 when anything was lost,
// counted twice or did not agree.
import { runSuite } from "./run-suite.ts";
import { KillSuite } from "./suite.ts";

await runSuite(
  "run.ts",
  1000,
  (folder, report) => new KillSuite(folder, report),
  ({ events, records, proved, pruned, early, verifier }) => [
    `${early} kills while the log was opened, the others while it was appended to; ${verifier} of the verifier`,
    `${events} numbered events in ${records} records, ${proved} of them proved and ${pruned} of those removed: each once, in order, none lost`,
  ],
);
