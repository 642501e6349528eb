// The ledger on a real network: geth nodes, each in a network namespace of its own, that sign a proof-of-authority chain.
// Ends with `N passed, N failed`.
import { rmSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { describeError } from "../../src/core/errors.ts";
import { createKey } from "../../src/ledger/keys/keys.ts";
import { CliqueNetwork } from "./clique-network.ts";
import { runScenarios } from "./scenarios.ts";
import { runSharedTests, SHARED_TESTS } from "./shared-tests.ts";
import { startSite } from "./site.ts";
import { Tally } from "./tally.ts";
import { killAll, Wire } from "./wire.ts";

const SIGNERS = 5;
const NAME = "pims-network";
const PARTS = ["tests", "scenarios"];
/** Without an argument both. */
const parts = process.argv.length > 2 ? process.argv.slice(2) : PARTS;
if (!parts.every((part) => PARTS.includes(part))) {
  console.error(`usage: npm run test:network [-- ${PARTS.join(" | ")}]`);
  process.exit(1);
}
const ending: (() => Promise<void>)[] = [];
const tally = new Tally();
await removeLeftovers();
const folder = await mkdtemp(join(tmpdir(), `${NAME}-${process.pid}-`));
// Whatever is made below for a while goes with it.
process.env.TMPDIR = folder;
// What was started ends with this process, in whatever way; the folder does not.
process.once("exit", () => {
  killAll();
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
try {
  const faucets = SHARED_TESTS.map(() => generatePrivateKey());
  const keys = Array.from({ length: 6 }, createKey);
  const wire = new Wire();
  const funded = [...faucets.map(privateKeyToAddress), ...keys.map(({ address }) => address)];
  const network = await CliqueNetwork.start(wire, folder, SIGNERS, funded);
  ending.push(() => network.stop());
  console.log(`a chain of ${SIGNERS} signers makes a block a second`);
  if (parts.includes("tests")) await runSharedTests(network, faucets, tally);
  if (parts.includes("scenarios")) {
    const after = (undo: () => Promise<void>): void => void ending.push(undo);
    await runScenarios(await startSite(network, wire, { folder, keys, after }), tally);
  }
} catch (error) {
  tally.failed++;
  console.log(`failed  ${describeError(error)}`);
}
for (const undo of ending.toReversed()) await undo().catch((error) => console.log(describeError(error)));
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed > 0 || tally.passed === 0 ? 1 : 0);

/** Folders of runs that were killed. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, pid] = new RegExp(`^${NAME}-(\\d+)-\\w+$`).exec(name) ?? [];
    if (pid === undefined) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes("test/network/run.ts")) continue;
    console.log(`removing what a run left that was killed: ${name}`);
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}
