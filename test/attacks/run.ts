// Carries out the corpus, or the attacks named as arguments. Exit status 1 when anything is not as its README says.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CORPUS, carryOut, readCorpus } from "./corpus.ts";
import { Lab } from "./lab.ts";
import { attacksPage } from "./page.ts";

const names = process.argv.slice(2);
const entries = await readCorpus(names);
let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    stopping = true;
  });

const columns = [28, 10, 9, 21, 21] as const;
const line = (...cells: string[]) =>
  console.log(
    cells
      .map((cell, index) => cell.padEnd(columns[index] ?? 0))
      .join(" ")
      .trimEnd(),
  );

let passed = 0;
let failed = 0;
line("attack", "ATT&CK", "method", "expected", "observed", "ok");
for (const mode of ["without the gate", "enforce"] as const) {
  if (stopping) break;
  const lab = await Lab.open(CORPUS, mode);
  try {
    for (const entry of entries) {
      if (stopping) break;
      for (const { description, method, observed, problems } of await carryOut(lab, entry)) {
        const { name, technique, reason, outcome, prevented } = description;
        const expected = outcome === "detected" ? reason : outcome;
        const shown = method === "enforce" && prevented !== null ? "prevented" : expected;
        line(name, technique, method, shown, observed, problems.length === 0 ? "ok" : "NOT OK");
        for (const problem of problems) console.log(`  ${problem}`);
        if (problems.length === 0) passed++;
        else failed++;
      }
    }
  } finally {
    await lab.close();
  }
}
const complete = !stopping && names.length === 0;
if (complete && failed === 0)
  await writeFile(join(CORPUS, "../../docs/attacks.md"), attacksPage(entries.map(({ description }) => description)));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || stopping ? 1 : 0);
