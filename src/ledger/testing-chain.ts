// The chain that tests use: the embedded one, or a network that somebody has started for them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keccak256 } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { type RunningChain, startAnvil } from "./embedded/anvil.ts";
import { createKey, type LedgerKey } from "./keys/keys.ts";
import { openRpc, type Rpc } from "./rpc/rpc.ts";
import { callQuantity, receiptOf } from "./rpc/rpc-values.ts";
import type { Ending } from "./testing.ts";

/** JSON-RPC endpoint of a network in place of the embedded chain. */
const URL_SETTING = "PIMS_TEST_CHAIN";
/** The secret of a key that has what accounts of the tests need for gas, 32 bytes in hexadecimal; this process's alone. */
const FAUCET_SETTING = "PIMS_TEST_FAUCET";

/** 10 of the chain's coins: gas for hundreds of transactions. */
const GIFT = 10n ** 19n;

const NETWORK_DEPTH = 2;

export interface TestChain {
  chain: RunningChain;
  /** Where the embedded chain keeps its journal; what a network keeps is elsewhere. */
  folder: string;
  /** How many blocks the chain may take back, in tests at least. */
  depth: number;
  /** Keys of accounts that can pay for transactions. */
  newKeys(count: number): Promise<LedgerKey[]>;
}

/** A chain of the test's own, or the network that the environment names. */
export async function startTestChain(t: Ending): Promise<TestChain> {
  const [url, faucet] = [process.env[URL_SETTING], process.env[FAUCET_SETTING]];
  if (url !== undefined && faucet !== undefined) return onNetwork(openRpc(url), faucet);
  const folder = await mkdtemp(join(tmpdir(), "pims-ledger-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  const chain = await startAnvil({ folder }).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  t.after(async () => {
    await chain.stop();
    await remove();
  });
  return { chain, folder, depth: 0, newKeys: async (count) => Array.from({ length: count }, createKey) };
}

async function onNetwork(rpc: Rpc, secret: string): Promise<TestChain> {
  const faucet = privateKeyToAccount(`0x${secret}`);
  const chainId = await callQuantity(rpc, "eth_chainId", []);
  let nonce = await callQuantity(rpc, "eth_getTransactionCount", [faucet.address, "pending"]);
  const give = async (to: LedgerKey) => {
    const gasPrice = 2n * (await callQuantity(rpc, "eth_gasPrice", []));
    const fields = { chainId: Number(chainId), nonce: Number(nonce++), gas: 21_000n, gasPrice, value: GIFT };
    const raw = await faucet.signTransaction({ type: "legacy", to: to.address, ...fields });
    await rpc.call("eth_sendRawTransaction", [raw]);
    return keccak256(raw);
  };
  return {
    chain: { url: rpc.url, chainId, stop: async () => {} },
    folder: "",
    depth: NETWORK_DEPTH,
    async newKeys(count) {
      const keys = Array.from({ length: count }, createKey);
      const sent: Awaited<ReturnType<typeof give>>[] = [];
      for (const key of keys) sent.push(await give(key));
      const deadline = performance.now() + 60_000;
      for (const hash of sent)
        while ((await receiptOf(rpc, hash)) === null) {
          if (performance.now() > deadline) throw new Error(`the network at ${rpc.url} takes no transaction`);
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      return keys;
    },
  };
}
