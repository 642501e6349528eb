import type { Command } from "commander";
import { z } from "zod";
import { readConfig } from "../core/config.ts";
import { PimsError } from "../core/errors.ts";
import { type LedgerConfig, ledgerSchema } from "../ledger/config.ts";
import type { RegistryPlace } from "../ledger/open-ledger.ts";
import { append } from "./command.ts";
import { say } from "./output.ts";

const DEFAULT_LEDGER = "http://127.0.0.1:8545";

/** Which chain is meant and whose word on its blocks counts, as options say it. */
export interface ChainOptions {
  config?: string;
  ledger?: string;
  witness: string[];
}

/** The same with the registry on it. */
export interface LedgerOptions extends ChainOptions {
  registry?: string;
}

export function withChain(command: Command): Command {
  return command
    .option("--ledger <url>", `JSON-RPC endpoint; ${DEFAULT_LEDGER} unless given`)
    .option(
      "--witness <url>",
      "another endpoint of the same chain, kept by somebody else: more than half must have a block; may be given again",
      append,
      [],
    )
    .option(
      "--config <file>",
      "instead: an agent's or verifier's configuration, whose 'ledger' says all of it (or PIMS_LEDGER_CONFIG)",
    );
}

export function withLedger(command: Command): Command {
  return withChain(command).option("--registry <address>", "address of the registry, unless the configuration has it");
}

/** For commands that need none. */
const NO_REGISTRY = `0x${"0".repeat(40)}`;

/** By which option is given what a configuration calls so. */
const OPTIONS: Readonly<Record<string, string>> = { url: "--ledger", witnesses: "--witness", registry: "--registry" };

/** What a command needs of a configuration; the rest is not its business. */
const configSchema = z.object({ ledger: ledgerSchema });

/** Throws `usage`, `config-invalid`. */
export async function place({ registry, ...options }: LedgerOptions): Promise<RegistryPlace> {
  const chain = await chainPlace(options);
  const at = registry ?? ("registry" in chain ? chain.registry : undefined);
  if (at === undefined)
    throw new PimsError("usage", "to look at the ledger give --registry, or a --config that names it");
  return checked({ ...chain, registry: at });
}

/** The chain, with the registry only where a configuration names one. Throws as `place`. */
export async function chainPlace({
  config,
  ledger,
  witness,
}: ChainOptions): Promise<Omit<RegistryPlace, "registry"> & { registry?: string }> {
  const isGiven = ledger !== undefined || witness.length > 0;
  if (config !== undefined && isGiven)
    throw new PimsError("usage", "--config says where the ledger is: give it without --ledger and --witness");
  const path = config ?? (isGiven ? undefined : process.env.PIMS_LEDGER_CONFIG);
  const chain =
    path === undefined
      ? { url: ledger ?? DEFAULT_LEDGER, witnesses: witness }
      : (await readConfig(path, configSchema)).ledger;
  // Deploying names no registry yet; an endpoint that stands twice would be a majority by itself.
  checked({ ...chain, registry: "registry" in chain ? chain.registry : NO_REGISTRY });
  return { ...chain, report: (text: string) => say(`pims: ${text}`) };
}

function checked(place: RegistryPlace): RegistryPlace {
  const { report: _, ...config } = place;
  const parsed = ledgerSchema.safeParse(config satisfies LedgerConfig);
  if (parsed.success) return place;
  const { path, message } = parsed.error.issues[0]!;
  const which = OPTIONS[String(path[0])] ?? "where the ledger is";
  throw new PimsError("usage", `${which} cannot be right: ${message}`);
}
