import type { Address } from "viem";

export interface CliqueGenesis {
  chainId: number;
  /** Seconds from one block to the next. */
  period: number;
  signers: readonly Address[];
  /** Each gets a thousand of the chain's coins to pay gas with. */
  funded: readonly Address[];
}

const bare = (address: Address): string => address.slice(2).toLowerCase();

/** The first block of a proof-of-authority chain (EIP-225), whose EVM is that of London, as `geth init` reads it. */
export function cliqueGenesis({ chainId, period, signers, funded }: CliqueGenesis): string {
  const forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg"];
  const blocks = [...forks, "istanbul", "berlin", "london"].map((fork) => [`${fork}Block`, 0]);
  const listed = signers.map(bare).sort().join("");
  return JSON.stringify({
    config: { chainId, ...Object.fromEntries(blocks), clique: { period, epoch: 30_000 } },
    difficulty: "0x1",
    gasLimit: "0x1c9c380",
    extraData: `0x${"0".repeat(64)}${listed}${"0".repeat(130)}`,
    alloc: Object.fromEntries(funded.map((address) => [bare(address), { balance: `0x${(10n ** 21n).toString(16)}` }])),
  });
}
