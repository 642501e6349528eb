import type { Hex } from "viem";
import { z } from "zod";
import { garbage, type Rpc } from "./rpc.ts";

/** A number as the Ethereum JSON-RPC writes it, at most 256 bits. */
export const quantitySchema = z
  .string()
  .regex(/^0x(0|[1-9a-f][0-9a-f]{0,63})$/)
  .transform((text) => BigInt(text));

const dataSchema = z
  .string()
  .regex(/^0x([0-9a-f]{2})*$/)
  .transform((text) => text as Hex);

const hashSchema = z
  .string()
  .regex(/^0x[0-9a-f]{64}$/)
  .transform((text) => text as Hex);

const blockSchema = z.object({
  number: quantitySchema,
  hash: hashSchema,
  timestamp: quantitySchema,
  baseFeePerGas: quantitySchema.optional(),
});

const receiptSchema = z.object({
  transactionHash: hashSchema,
  blockNumber: quantitySchema,
  blockHash: hashSchema,
  gasUsed: quantitySchema,
  status: quantitySchema,
  contractAddress: z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/)
    .nullish(),
});

const logSchema = z.object({
  address: z.string().regex(/^0x[0-9a-fA-F]{40}$/),
  topics: z.array(hashSchema).max(4),
  data: dataSchema,
});

/** A block's number, hash, time (seconds since 1970 UTC) and, from EVM `london` on, base fee (wei). */
export type Block = z.infer<typeof blockSchema>;
export type Receipt = z.infer<typeof receiptSchema>;
export type Log = z.infer<typeof logSchema>;

export async function callQuantity(rpc: Rpc, method: string, params: readonly unknown[]): Promise<bigint> {
  return parse(rpc, method, quantitySchema, await rpc.call(method, params));
}

export async function callData(rpc: Rpc, method: string, params: readonly unknown[]): Promise<Hex> {
  return parse(rpc, method, dataSchema, await rpc.call(method, params));
}

/** The newest block that the endpoint knows, or the newest of those that its chain calls final. */
export async function latestBlock(rpc: Rpc, of: "latest" | "finalized" = "latest"): Promise<Block> {
  return parse(rpc, "block", blockSchema, await rpc.call("eth_getBlockByNumber", [of, false]));
}

/** A transaction's receipt, null while it is not in a block. */
export async function receiptOf(rpc: Rpc, hash: Hex): Promise<Receipt | null> {
  return parse(rpc, "receipt", receiptSchema.nullable(), await rpc.call("eth_getTransactionReceipt", [hash]));
}

/** Event logs of one address; at most `most`, more are refused. */
export async function callLogs(rpc: Rpc, filter: object, most: number): Promise<Log[]> {
  return parse(rpc, "logs", z.array(logSchema).max(most), await rpc.call("eth_getLogs", [filter]));
}

function parse<T>(rpc: Rpc, what: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw garbage(rpc.url, `malformed ${what}`, parsed.error);
  return parsed.data;
}
