import { fromRlp, type Hex, keccak256, toRlp } from "viem";
import { z } from "zod";
import { PimsError } from "../../core/errors.ts";
import { quantitySchema } from "../rpc/rpc-values.ts";
import { istanbulDigest, parseBftExtra } from "./bft-extra.ts";

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
const headerSchema = z.object({ ...first, ...later });
const answerSchema = z.object({ hash, ...headerSchema.shape });
type Fields = z.infer<typeof headerSchema>;
type Name = keyof Fields;

const names = [...Object.keys(first), ...Object.keys(later)] as Name[];
const numbers: ReadonlySet<string> = new Set([
  ...["difficulty", "number", "gasLimit", "gasUsed", "timestamp"],
  ...["baseFeePerGas", "blobGasUsed", "excessBlobGas"],
]);
const EXTRA_DATA = names.indexOf("extraData");
const LIMIT = 2n ** 64n;
/** A header's fields besides its extra data take less than 900 bytes. */
const maxRlpBytes = maxExtraBytes + 1024;

/** A block's header, whose fields are those that its hash is over. Whether the block is the chain's is another question. */
export interface Header {
  /** By what the chain knows the block: of QBFT and IBFT 2.0 headers it leaves out seals and round. */
  readonly hash: Hex;
  /** The whole header in the form of the Yellow Paper, section 4.3: `parseHeader` makes the same of it. */
  readonly rlp: Hex;
  readonly parentHash: Hex;
  /** The block's maker; a Clique signer puts there whom a vote is about. */
  readonly miner: Hex;
  readonly stateRoot: Hex;
  readonly difficulty: bigint;
  readonly number: bigint;
  /** Seconds since 1970 UTC. */
  readonly timestamp: bigint;
  readonly extraData: Hex;
  readonly mixHash: Hex;
  readonly nonce: Hex;
}

/**
 * The header of an answer to eth_getBlockByNumber (Yellow Paper, section 4.3, and the forks up to Prague and Osaka), hashed
 * anew. Chains that hash something else are refused. Throws `ledger-unverified`.
 */
export function verifyHeader(block: unknown): Header {
  const parsed = answerSchema.safeParse(block);
  if (!parsed.success) throw wrong("it is not one", parsed.error);
  const header = headerOf(parsed.data);
  if (header.hash !== parsed.data.hash.toLowerCase()) throw wrong("its hash is another");
  return header;
}

/** The header with exactly this RLP, all of it and nothing after it. Throws `ledger-unverified`. */
export function parseHeader(rlp: Hex): Header {
  if (rlp.length > 2 + 2 * maxRlpBytes) throw wrong("it is too long");
  const items = listOf(rlp);
  if (items.length > names.length) throw wrong("there is a field too many");
  const entries = items.map((item, index) => [names[index]!, numbers.has(names[index]!) ? quantity(item) : item]);
  const parsed = headerSchema.safeParse(Object.fromEntries(entries));
  if (!parsed.success) throw wrong("it is not one", parsed.error);
  const header = headerOf(parsed.data);
  // Whatever the decoder lets pass: one header has one form only.
  if (header.rlp !== rlp) throw wrong("it is not in its one form");
  return header;
}

function headerOf(fields: Fields): Header {
  const count = names.findLastIndex((name) => (fields[name] ?? undefined) !== undefined) + 1;
  const values = names.slice(0, count).map((name) => {
    const value = fields[name] ?? undefined;
    if (value === undefined) throw wrong("a field is missing");
    return encoded(value);
  });
  const { difficulty, number, timestamp } = fields;
  if (number >= LIMIT || timestamp >= LIMIT) throw wrong("a number is too large");
  const rlp = toRlp(values);
  const extraData = lower(fields.extraData);
  const mixHash = lower(fields.mixHash);
  const bft = mixHash === istanbulDigest ? parseBftExtra(extraData) : null;
  const hash = keccak256(bft === null ? rlp : toRlp(values.with(EXTRA_DATA, bft.onChain)));
  return {
    ...{ hash, rlp, difficulty, number, timestamp, extraData, mixHash, nonce: lower(fields.nonce) },
    ...{ parentHash: lower(fields.parentHash), miner: lower(fields.miner), stateRoot: lower(fields.stateRoot) },
  };
}

/** The hash of a header with other extra data in place of its own: what seals are made over. */
export function hashWithExtra({ rlp }: Header, extraData: Hex): Hex {
  return keccak256(toRlp(listOf(rlp).with(EXTRA_DATA, extraData)));
}

function listOf(rlp: Hex): Hex[] {
  let items: unknown;
  try {
    items = fromRlp(rlp, "hex");
  } catch (error) {
    throw wrong("it is not RLP", error);
  }
  if (Array.isArray(items) && items.every((item) => typeof item === "string")) return items as Hex[];
  throw wrong("it is no list of fields");
}

/** RLP's form of a number has no leading zeros; bytes are as they are. */
function encoded(value: string | bigint): Hex {
  if (typeof value === "string") return lower(value);
  if (value === 0n) return "0x";
  const digits = value.toString(16);
  return `0x${digits.length % 2 === 0 ? "" : "0"}${digits}`;
}

const quantity = (item: Hex): string => `0x${item.slice(2).replace(/^0+/, "") || "0"}`;

const lower = (text: string): Hex => text.toLowerCase() as Hex;

function wrong(what: string, cause?: unknown): PimsError {
  return new PimsError("ledger-unverified", `a block's header cannot be right (${what})`, { cause });
}
