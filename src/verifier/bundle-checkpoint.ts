import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Address, hexToBigInt } from "viem";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import { proveHost, readCheckpointFile } from "../ledger/checkpoint-file.ts";
import { countSlot, rootSlot } from "../ledger/contract/checkpoints-storage.ts";
import type { ProvedLedger } from "../ledger/proved-ledger.ts";
import type { ProvedCheckpoint } from "./bundle-proofs.ts";
import { akNameOf } from "./checkpoint-lines.ts";
import type { HostRow } from "./store.ts";

/** A host that is younger than these is in no older one; each is a file of a line a host. */
const MOST_TRIED = 3;

export interface CheckpointSource {
  readonly ledger: ProvedLedger;
  readonly contract: Address;
  readonly reporter: Address;
  /** Where the lines are kept. */
  readonly folder: string;
}

/**
 * The newest checkpoint on the ledger that holds a host and whose lines are kept; null when there is none, or none can be
 * proved: then `report` is told.
 */
export async function bundleCheckpoint(
  { ledger, contract, reporter, folder }: CheckpointSource,
  host: HostRow,
  report: (text: string) => void,
): Promise<ProvedCheckpoint | null> {
  const place = { name: "Checkpoints", address: contract } as const;
  try {
    const [count] = (await ledger.wordsOf(place, [countSlot(reporter)])).words;
    for (const { number, name } of await newestFirst(folder, hexToBigInt(count!))) {
      const file = await readCheckpointFile(join(folder, name));
      if (!file.hosts.includes(host.name)) continue;
      const { nodes: path, ...inclusion } = proveHost(file, host.name);
      // The name may have been another host's.
      if (JSON.parse(inclusion.line).ak !== akNameOf(host)) continue;
      const { words, proved } = await ledger.wordsOf(place, [rootSlot(reporter, number)]);
      // Two files have one number where what was sent was not confirmed: the chain says which of them it has.
      if (words[0] !== file.root) continue;
      return { checkpoint: { contract, reporter, number: `${number}`, ...inclusion, path: [...path] }, proved };
    }
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    report(`a bundle is without a checkpoint: ${describeError(error)}`);
  }
  return null;
}

async function newestFirst(folder: string, count: bigint): Promise<{ number: bigint; name: string }[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  });
  return names
    .filter((name) => /^\d{10,19}-[0-9a-f]{16}\.jsonl$/.test(name))
    .map((name) => ({ number: BigInt(name.slice(0, name.indexOf("-"))), name }))
    .filter(({ number }) => number < count)
    .sort((a, b) => Number(b.number - a.number))
    .slice(0, MOST_TRIED);
}
