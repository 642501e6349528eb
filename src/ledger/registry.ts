import { type Contract, type ContractPlace, callContract, openContract } from "./contract.ts";

/** Where a registry is. */
export interface RegistryPlace extends Omit<ContractPlace, "address"> {
  /** The contract's address. */
  registry: string;
}

/** A registry as of one block, so that answers to several questions belong together. */
export type Registry = Contract;

/** As `openContract`, for the registry of baselines. */
export function openRegistry({ registry, ...place }: RegistryPlace): Promise<Registry> {
  return openContract("BaselineRegistry", { ...place, address: registry });
}

/** What a read function of the registry returns at the registry's block, still encoded. */
export const callRegistry = callContract;
