import { type Hex, keccak256, toRlp } from "viem";
import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { quantitySchema } from "./rpc-values.ts";

/** Clique and QBFT put validators and their seals there: 85 bytes for each. */
const maxExtraBytes = 32 * 1024;

const bytes = (length: number) => z.string().regex(new RegExp(`^0x[0-9a-fA-F]{${2 * length}}$`));
const hash = bytes(32);

/** In the order of the header's RLP. */
const first = {
  parentHash: hash,
  sha3Uncles: hash,
  miner: bytes(20),
  stateRoot: hash,
  transactionsRoot: hash,
  receiptsRoot: hash,
  logsBloom: bytes(256),
  difficulty: quantitySchema,
  number: quantitySchema,
  gasLimit: quantitySchema,
  gasUsed: quantitySchema,
  timestamp: quantitySchema,
  extraData: z
    .string()
    .max(2 + 2 * maxExtraBytes)
    .regex(/^0x([0-9a-fA-F]{2})*$/),
  mixHash: hash,
  nonce: bytes(8),
};
/** What later forks added at the end, each with all that came before it. */
const later = {
  /** London (EIP-1559) */
  baseFeePerGas: quantitySchema.nullish(),
  /** Shanghai (EIP-4895) */
  withdrawalsRoot: hash.nullish(),
  /** Cancun (EIP-4844, EIP-4788) */
  blobGasUsed: quantitySchema.nullish(),
  excessBlobGas: quantitySchema.nullish(),
  parentBeaconBlockRoot: hash.nullish(),
  /** Prague (EIP-7685) */
  requestsHash: hash.nullish(),
};
const headerSchema = z.object({ hash, ...first, ...later });
const LIMIT = 2n ** 64n;

/** A block's header, whose fields are those that its hash is over. Whether the block is the chain's is another question. */
export interface Header {
  readonly hash: Hex;
  readonly parentHash: Hex;
  readonly stateRoot: Hex;
  readonly number: bigint;
  /** Seconds since 1970 UTC. */
  readonly timestamp: bigint;
}

/**
 * The header of an answer to eth_getBlockByNumber (Yellow Paper, section 4.3, and the forks up to Prague and Osaka), hashed
 * anew. Chains that hash something else, as QBFT does without its seals, are refused. Throws `ledger-unverified`.
 */
export function verifyHeader(block: unknown): Header {
  const parsed = headerSchema.safeParse(block);
  if (!parsed.success) throw wrong("it is not one", parsed.error);
  const fields = parsed.data;
  const values = Object.keys(first).map((name) => encoded(fields[name as keyof typeof first]));
  const added = Object.keys(later).map((name) => fields[name as keyof typeof later] ?? undefined);
  const count = added.findLastIndex((value) => value !== undefined) + 1;
  for (const value of added.slice(0, count)) {
    if (value === undefined) throw wrong("a field is missing");
    values.push(encoded(value));
  }
  const { number, timestamp } = fields;
  if (number >= LIMIT || timestamp >= LIMIT) throw wrong("a number is too large");
  const computed = keccak256(toRlp(values));
  if (computed !== fields.hash.toLowerCase()) throw wrong("its hash is another");
  const { parentHash, stateRoot } = fields;
  return { hash: computed, parentHash: lower(parentHash), stateRoot: lower(stateRoot), number, timestamp };
}

/** RLP's form of a number has no leading zeros; bytes are as they are. */
function encoded(value: string | bigint): Hex {
  if (typeof value === "string") return lower(value);
  if (value === 0n) return "0x";
  const digits = value.toString(16);
  return `0x${digits.length % 2 === 0 ? "" : "0"}${digits}`;
}

const lower = (text: string): Hex => text.toLowerCase() as Hex;

function wrong(what: string, cause?: unknown): PimsError {
  return new PimsError("ledger-unverified", `a block's header cannot be right (${what})`, { cause });
}
