import type { Hex } from "viem";
import { z } from "zod";
import { PimsError } from "../../core/errors.ts";
import { readPrivateFile, replacePrivateFile } from "../../core/private-file.ts";

/** The highest block of a ledger that was believed. */
export interface LedgerHeight {
  readonly number: bigint;
  readonly hash: Hex;
}

/** Where heights are kept, by ledger (`ledgerName`), so that none goes back, also not over a restart. */
export interface HeightStore {
  read(ledger: string): LedgerHeight | null | Promise<LedgerHeight | null>;
  write(ledger: string, height: LedgerHeight): void | Promise<void>;
}

/** One ledger is one contract on one chain. */
export function ledgerName(chainId: bigint, contract: string): string {
  return `${chainId} ${contract.toLowerCase()}`;
}

/** Forgets with the process. */
export function heightsInMemory(): HeightStore {
  const heights = new Map<string, LedgerHeight>();
  return { read: (ledger) => heights.get(ledger) ?? null, write: (ledger, height) => void heights.set(ledger, height) };
}

const fileSchema = z.strictObject({
  ledger: z.string().max(200),
  number: z.string().regex(/^\d{1,20}$/),
  hash: z
    .string()
    .regex(/^0x[0-9a-f]{64}$/)
    .transform((text) => text as Hex),
});

/** The height of one ledger in a file of its own; of another ledger it says nothing. Throws `ledger-unverified`. */
export function heightFile(path: string): HeightStore {
  return {
    async read(ledger) {
      const text = await readPrivateFile(path);
      if (text === null) return null;
      const kept = parse(path, text);
      return kept.ledger === ledger ? { number: BigInt(kept.number), hash: kept.hash } : null;
    },
    write: (ledger, { number, hash }) =>
      replacePrivateFile(path, `${JSON.stringify({ ledger, number: `${number}`, hash })}\n`),
  };
}

function parse(path: string, text: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PimsError("ledger-unverified", `the ledger's height in ${path} is damaged`, {
      hint: "remove the file: what the ledger says next is then taken for its first word",
      cause,
    });
  }
}
