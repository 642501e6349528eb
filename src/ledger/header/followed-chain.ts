import type { Hex } from "viem";
import { z } from "zod";
import { PimsError } from "../../core/errors.ts";
import { readPrivateFile, replacePrivateFile } from "../../core/private-file.ts";
import type { CliqueSnapshot } from "./clique-snapshot.ts";

/**
 * Where is kept how far a chain was followed, by chain, so that a restart does not begin at the checkpoint again. It is
 * believed: whoever can write there says who the signers are, so it is kept as a key is.
 */
export interface FollowedStore {
  /** What a person may have to look at; undefined where nothing outlives the process. */
  readonly path?: string;
  read(chain: string): string | null | Promise<string | null>;
  write(chain: string, text: string): void | Promise<void>;
}

/** Forgets with the process. */
export function followedInMemory(): FollowedStore {
  const kept = new Map<string, string>();
  return { read: (chain) => kept.get(chain) ?? null, write: (chain, text) => void kept.set(chain, text) };
}

/** One chain in a file of its own: a line that names it, and one with what is kept. Of another chain it says nothing. */
export function followedFile(path: string): FollowedStore {
  return {
    path,
    async read(chain) {
      const [name, text = ""] = (await readPrivateFile(path))?.split("\n") ?? [];
      return name === chain ? text : null;
    },
    write: (chain, text) => replacePrivateFile(path, `${chain}\n${text}\n`),
  };
}

const bytes = (length: number) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-f]{${2 * length}}$`))
    .transform((text) => text as Hex);
const count = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform(BigInt);
const snapshotSchema = z.strictObject({
  number: count,
  hash: bytes(32),
  timestamp: count,
  signers: z.array(bytes(20)).min(1),
  recent: z.array(bytes(20)),
  votes: z.array(z.strictObject({ by: bytes(20), about: bytes(20), isFor: z.boolean() })),
});

export function writeSnapshot({ number, timestamp, ...rest }: CliqueSnapshot): string {
  return JSON.stringify({ number: `${number}`, timestamp: `${timestamp}`, ...rest });
}

/** Throws `ledger-unverified`. */
export function readSnapshot(text: string, path = "memory"): CliqueSnapshot {
  try {
    return snapshotSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PimsError("ledger-unverified", `what was kept of the ledger's chain in ${path} is damaged`, {
      hint: "remove it: the chain is then followed from its checkpoint again",
      cause,
    });
  }
}
