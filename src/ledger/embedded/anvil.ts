import { mkdir } from "node:fs/promises";
import { lockFolder } from "../../core/folder-lock.ts";
import { EmbeddedChain } from "./embedded-chain.ts";
import { serveFront } from "./front.ts";

export interface RunningChain {
  /** JSON-RPC over HTTP, on loopback. */
  url: string;
  chainId: bigint;
  stop(): Promise<void>;
}

/**
 * Runs the embedded chain that `folder` keeps, or a new one. What it has answered for is on disk; started again after
 * any end, it replays its journal and is the same chain, or refuses to start. It serves one machine, and protects
 * against nobody who is root there. Throws `ledger-in-use`, `ledger-journal-broken`, `port-in-use`, `anvil-missing`,
 * `anvil-failed`.
 */
export async function startAnvil({ folder, port = 0 }: { folder: string; port?: number }): Promise<RunningChain> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const unlock = await lockFolder(folder, "ledger-in-use", "runs the chain");
  let chain: EmbeddedChain | undefined;
  try {
    const running = await EmbeddedChain.start(folder);
    chain = running;
    const front = await serveFront(port, (method, params) => running.request(method, params));
    return {
      url: front.url,
      chainId: BigInt(running.chainId),
      async stop() {
        await front.close();
        await running.stop();
        await unlock();
      },
    };
  } catch (error) {
    await chain?.stop();
    await unlock();
    throw error;
  }
}
