import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Suite {
  readonly counts: { readonly passed: number; readonly failed: number };
  run(kills: number, signal: AbortSignal): Promise<void>;
}

/** Kills as often as the command's argument says, or `standard` times. Ends the process, with status 1 when a kill did harm. */
export async function runSuite<T extends Suite>(
  file: string,
  standard: number,
  make: (folder: string, report: (problem: string) => void) => T,
  summary: (counts: T["counts"]) => string[],
): Promise<never> {
  const count = Number(process.argv[2] ?? standard);
  if (!Number.isInteger(count) || count < 1) {
    console.error(`usage: node test/kills/${file} [KILLS]`);
    process.exit(1);
  }
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
  const folder = await mkdtemp(join(tmpdir(), "pims-kills-"));
  const suite = make(folder, (problem) => console.log(`NOT OK ${problem}`));
  const { counts } = suite;
  const timer = setInterval(() => console.log(`${counts.passed} kills so far`), 60_000);
  try {
    await suite.run(count, stopping.signal);
  } finally {
    clearInterval(timer);
    await rm(folder, { recursive: true, force: true });
  }
  for (const line of summary(counts)) console.log(line);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exit(counts.failed > 0 || counts.passed < count ? 1 : 0);
}
