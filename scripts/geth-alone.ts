// One geth node that signs a Clique chain by itself, a block for each transaction: what a real node keeps on its disk.
import { execFileSync, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Address } from "viem";
import { generateKeyFile } from "../src/ledger/keys/keys.ts";
import { openRpc } from "../src/ledger/rpc/rpc.ts";
import { cliqueGenesis } from "./clique-genesis.ts";
import { freePort } from "./free-port.ts";

export interface Geth {
  readonly url: string;
  /** Bytes of its database, after what it holds in memory was written. */
  diskBytes(): Promise<number>;
  stop(): Promise<void>;
}

/** `rich` have more than they can spend: on this chain gas has a price. */
export async function startGeth(binary: string, rich: readonly Address[]): Promise<Geth> {
  const folder = await mkdtemp(join(tmpdir(), "pims-geth-"));
  try {
    return await startIn(folder, binary, rich);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function startIn(folder: string, binary: string, rich: readonly Address[]): Promise<Geth> {
  await mkdir(join(folder, "keystore"), { mode: 0o700 });
  const password = join(folder, "password");
  await writeFile(password, "of a simulation", { mode: 0o600 });
  const cost = { n: 4096, r: 8, p: 1 };
  const signer = await generateKeyFile({ path: join(folder, "keystore/signer"), passphrase: "of a simulation", cost });
  const genesis = { chainId: 20_262, period: 0, signers: [signer.address], funded: rich };
  await writeFile(join(folder, "genesis.json"), cliqueGenesis(genesis));
  execFileSync(binary, ["init", "--datadir", folder, join(folder, "genesis.json")], { stdio: "pipe" });
  const port = await freePort();
  const run = () =>
    spawn(
      binary,
      [
        ...["--datadir", folder, "--nodiscover", "--maxpeers", "0", "--port", "0", "--ipcdisable", "--verbosity", "1"],
        ...[
          "--http",
          "--http.addr",
          "127.0.0.1",
          "--http.port",
          `${port}`,
          "--http.api",
          "eth,net",
          "--authrpc.port",
          "0",
        ],
        ...["--unlock", signer.address, "--password", password, "--allow-insecure-unlock"],
        ...["--mine", "--miner.etherbase", signer.address, "--cache", "128", "--syncmode", "full"],
      ],
      { stdio: "ignore" },
    );
  const url = `http://127.0.0.1:${port}`;
  let child = run();
  const end = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.exitCode === null && child.kill("SIGTERM")) await ended;
  };
  const answers = async (): Promise<void> => {
    for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100))
      if (
        await openRpc(url)
          .call("eth_chainId", [])
          .catch(() => undefined)
      )
        return;
    throw new Error("geth does not start");
  };
  try {
    await answers();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    url,
    async diskBytes() {
      await end();
      const bytes = await sizeOf(join(folder, "geth/chaindata"));
      child = run();
      await answers();
      return bytes;
    },
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)));
  return (await Promise.all(sizes)).reduce((total, { size }) => total + size, 0);
}
