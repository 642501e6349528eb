import { systemClock } from "../core/clock.ts";
import type { LedgerConfig } from "./config.ts";
import { parseAddress } from "./contract/address.ts";
import { heightsInMemory } from "./header/ledger-height.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { ProvedLedger } from "./proved-ledger.ts";

/** Where a registry is, whose word on the chain's blocks counts, and how they are asked. */
export interface RegistryPlace extends LedgerConfig {
  /** Bound of each request, milliseconds, 10 000 by default. */
  timeoutMs?: number;
  /** How long to wait until what was sent is proved, milliseconds, two minutes by default. */
  shownWithinMs?: number;
  /** Is told of endpoints that are left out. */
  report?: (text: string) => void;
}

/** The ledger for one piece of work: what it knows of its endpoints and their blocks ends with it. Throws `address-malformed`. */
export function openLedger({ timeoutMs = 10_000, report = () => {}, ...config }: RegistryPlace): ProvedLedger {
  const registry = parseAddress(config.registry);
  return new ProvedLedger(
    { ...config, registry },
    { clock: systemClock, heights: heightsInMemory(), timeoutMs, report },
  );
}

/** The registry of baselines as of one believed block. Throws `ledger-unreachable`, `ledger-unverified`. */
export function openRegistry(place: RegistryPlace): Promise<ProvedContract> {
  return openLedger(place).contract("BaselineRegistry");
}
