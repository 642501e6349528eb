// Breaks the contracts one line at a time and runs their tests against each broken one: a mutant that no test notices is
// a rule that nothing holds. Run by hand, some ten seconds a mutant; arguments choose mutants by a part of their names.
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MUTANTS, type Mutant } from "./contract-mutants.ts";

const ROOT = join(import.meta.dirname, "..");
/** Fuzzing first: that it can fail is to be seen, too. */
const REGISTRY = [
  "registry-fuzz",
  "registry",
  "governance",
  "revoke",
  "registry-data",
  "registry-storage",
  "contract-reads",
];
const WRITERS = ["writers-fuzz", "checkpoints", "contract-reads"];
const TESTS: Record<Mutant["file"], readonly string[]> = {
  "BaselineRegistry.sol": REGISTRY,
  "Publishers.sol": REGISTRY,
  "HostRegistry.sol": WRITERS,
  "Checkpoints.sol": WRITERS,
};

/** A copy of what the contracts' tests need, in which sources can be broken. */
async function copyCheckout(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "pims-mutants-"));
  for (const folder of ["contracts", "scripts", "src"])
    await cp(join(ROOT, folder), join(copy, folder), { recursive: true });
  for (const name of ["package.json", "tsconfig.json"]) await cp(join(ROOT, name), join(copy, name));
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

/** The first of the test files that fails on a mutant; undefined means that it survived. */
async function firstFailing(copy: string, { file, from, to }: Mutant): Promise<string | undefined> {
  const path = join(copy, "contracts", file);
  const source = await readFile(path, "utf8");
  if (source.split(from).length !== 2) throw new Error(`${file} does not have exactly once: ${from}`);
  await writeFile(
    path,
    source.replace(from, () => to),
  );
  try {
    if ((await run(copy, ["scripts/build-contracts.ts"])) !== 0) return "the compiler";
    return await failing(copy, TESTS[file]);
  } finally {
    await writeFile(path, source);
  }
}

/** Twice, since on a busy machine a test can fail for want of time. */
async function failing(copy: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const test = (): Promise<number | null> => run(copy, ["--test", `src/ledger/${name}.test.ts`]);
    if ((await test()) !== 0 && (await test()) !== 0) return name;
  }
  return undefined;
}

function run(cwd: string, options: readonly string[]): Promise<number | null> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...options], {
    cwd,
    stdio: "ignore",
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (status) => resolve(status));
  });
}

const wanted = process.argv.slice(2);
const chosen = MUTANTS.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const copy = await copyCheckout();
let [caught, survived] = [0, 0];
try {
  const unbroken = await failing(copy, [...REGISTRY, ...WRITERS]);
  if (unbroken !== undefined) throw new Error(`${unbroken} fails with the contracts as they are`);
  for (const mutant of chosen) {
    const by = await firstFailing(copy, mutant);
    if (by === undefined) survived++;
    else caught++;
    process.stdout.write(
      `${by === undefined ? "SURVIVED" : "caught"}  ${mutant.name}${by === undefined ? "" : `: ${by}`}\n`,
    );
  }
} finally {
  await rm(copy, { recursive: true, force: true });
}
process.stdout.write(`${caught} caught, ${survived} survived\n`);
process.exitCode = survived === 0 && caught > 0 ? 0 : 1;
