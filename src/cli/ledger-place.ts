import type { Command } from "commander";

export const DEFAULT_LEDGER = "http://127.0.0.1:8545";

/** Where the registry is, as options say it. */
export interface LedgerOptions {
  ledger: string;
  registry: string;
}

export function withLedger(command: Command): Command {
  return command
    .option("--ledger <url>", "JSON-RPC endpoint", DEFAULT_LEDGER)
    .requiredOption("--registry <address>", "address of the registry");
}

export function place({ ledger, registry }: LedgerOptions): { url: string; registry: string } {
  return { url: ledger, registry };
}
