// Runs the corpus, or the cases named as arguments. Exit status 1 when anything is not as its README says.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CORPUS, type Entry, readCorpus } from "./corpus.ts";
import { Lab } from "./lab.ts";
import { benignPage } from "./page.ts";

const FULL_SECONDS = 60;

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: `${FULL_SECONDS}` },
    parallel: { type: "string", default: "6" },
  },
});
const seconds = Number(values.seconds);
const entries = await readCorpus(names);
let lab: Lab | undefined;
let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    stopping = true;
    lab?.stop();
  });

const columns = [22, 9, 9, 7] as const;
const line = (...cells: string[]) =>
  console.log(
    cells
      .map((cell, index) => cell.padEnd(columns[index] ?? 0))
      .join(" ")
      .trimEnd(),
  );

let passed = 0;
let failed = 0;
let notRun = 0;
async function runOneAfterAnother(lab: Lab, waiting: Entry[]): Promise<void> {
  for (let entry = waiting.shift(); entry !== undefined && !stopping; entry = waiting.shift())
    for (const { description, method, done, sweeps, problems, skipped } of await lab.run(entry, seconds)) {
      if (skipped !== null) {
        line(description.name, method, "", "", `skipped: ${skipped}`);
        notRun++;
        continue;
      }
      line(description.name, method, `${done}`, `${sweeps}`, problems.length === 0 ? "ok" : "NOT OK");
      for (const problem of problems) console.log(`  ${problem}`);
      if (problems.length === 0) passed++;
      else failed++;
    }
}
line("case", "method", "done", "sweeps", "ok");
for (const mode of ["without the gate", "enforce"] as const) {
  if (stopping) break;
  const opened = await Lab.open(mode);
  lab = opened;
  try {
    const waiting = [...entries];
    await Promise.all(Array.from({ length: Number(values.parallel) }, () => runOneAfterAnother(opened, waiting)));
  } finally {
    await opened.close();
  }
}
const complete = !stopping && names.length === 0 && seconds >= FULL_SECONDS && notRun === 0;
if (complete && failed === 0)
  await writeFile(join(CORPUS, "../../docs/benign.md"), benignPage(entries.map(({ description }) => description)));
console.log(`${passed} passed, ${failed} failed${notRun > 0 ? `, ${notRun} skipped` : ""}`);
process.exit(failed > 0 || stopping ? 1 : 0);
