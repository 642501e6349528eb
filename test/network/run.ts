// The ledger on a real network: geth nodes, each in a network namespace of its own, that sign a proof-of-authority chain.
// Ends with `N passed, N failed`.
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { describeError } from "../../src/core/errors.ts";
import { createKey } from "../../src/ledger/keys.ts";
import { CliqueNetwork } from "./clique-network.ts";
import { runScenarios } from "./scenarios.ts";
import { runSharedTests, SHARED_TESTS } from "./shared-tests.ts";
import { Site } from "./site.ts";
import { Tally } from "./tally.ts";
import { Wire } from "./wire.ts";

const SIGNERS = 5;
/** Without an argument both. */
const parts = process.argv.length > 2 ? process.argv.slice(2) : ["tests", "scenarios"];
const ending: (() => Promise<void>)[] = [];
const tally = new Tally();
const folder = await mkdtemp(join(tmpdir(), "pims-network-"));
// What was started ends with this process, in whatever way; the folder does not.
process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
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
    await runScenarios(await Site.start(network, wire, { folder, keys, after }), tally);
  }
} catch (error) {
  tally.failed++;
  console.log(`failed  ${describeError(error)}`);
}
for (const undo of ending.toReversed()) await undo().catch((error) => console.log(describeError(error)));
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed > 0 ? 1 : 0);
