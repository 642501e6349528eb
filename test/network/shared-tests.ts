import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Hex } from "viem";
import type { CliqueNetwork } from "./clique-network.ts";
import type { Tally } from "./tally.ts";

/** The tests of contracts and client that need no more of a chain than that it is one. */
export const SHARED_TESTS = [
  ...["registry", "registry-data", "contract/registry-storage", "governance", "revoke"],
  ...["checkpoints", "on-chain", "keys/remote-signer", "proof/state-proof"],
];
const LEDGER = join(import.meta.dirname, "../../src/ledger");
const FILE_MS = 480_000;

/** Runs them all at the same time, each by another node in turn and with a faucet of its own. */
export async function runSharedTests(network: CliqueNetwork, faucets: readonly Hex[], tally: Tally): Promise<void> {
  const runs = SHARED_TESTS.map(async (name, index) => {
    const node = network.nodes[index % network.nodes.length]!;
    const start = performance.now();
    const child = spawn(process.execPath, ["--test", "--test-reporter=tap", join(LEDGER, `${name}.test.ts`)], {
      env: { ...process.env, PIMS_TEST_CHAIN: node.rpc.url, PIMS_TEST_FAUCET: faucets[index]!.slice(2) },
      stdio: ["ignore", "pipe", "inherit"],
      timeout: FILE_MS,
      killSignal: "SIGKILL",
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    await once(child, "close");
    const countOf = (word: string): number => Number(new RegExp(`^# ${word} (\\d+)$`, "m").exec(output)?.[1] ?? 0);
    const [passed, failed] = [countOf("pass"), countOf("fail") + countOf("cancelled")];
    const isWhole = child.exitCode === 0 && passed > 0;
    tally.add(passed, isWhole ? failed : Math.max(failed, 1));
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`src/ledger/${name}.test.ts: ${passed} passed, ${failed} failed (${seconds} s, by ${node.host.name})`);
    if (!isWhole || failed > 0) console.log(output);
  });
  await Promise.all(runs);
}
