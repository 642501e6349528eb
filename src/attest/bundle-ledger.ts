import type { Address, Hex } from "viem";
import { z } from "zod";
import { digestSchema } from "../log/finding.ts";

const MAX_NODES = 65_536;
const MAX_NODE_BYTES = 1024;
const MAX_BLOCKS = 1025;
/** More than half of 255 signers, and some that are there twice. */
const MAX_ABOVE = 256;
const MAX_HEADER_BYTES = 34 * 1024;
/**
 * Characters of base64 of all headers, and of all nodes: a thousand images in a registry of these, some hundred in one of
 * millions. In Python (docs/verify-bundle.py) a megabyte takes seconds to hash.
 */
const MAX_ALL_HEADERS = 4 * 1024 * 1024;
const MAX_ALL_NODES = 8 * 1024 * 1024;
/** A tree's size is a safe integer. */
const MAX_PATH = 53;
/** A host of some ten thousand containers. */
const MAX_LINE_CHARACTERS = 8 * 1024 * 1024;

const charactersOf = (texts: readonly string[]): number => texts.reduce((sum, { length }) => sum + length, 0);
const base64 = (bytes: number) => z.base64().max(Math.ceil(bytes / 3) * 4);
/** 77 digits are below 2^256. */
const decimal = (digits: number) => z.string().regex(new RegExp(`^(0|[1-9]\\d{0,${digits - 1}})$`));
const hash = z
  .string()
  .regex(/^0x[0-9a-f]{64}$/)
  .transform((text) => text as Hex);
const address = z
  .string()
  .regex(/^0x[0-9a-f]{40}$/)
  .transform((text) => text as Address);

/** Where it stands that a baseline is approved; `ledger` has what proves it. */
export const bundledRegistrySchema = z.strictObject({
  chainId: decimal(77),
  contract: address,
  block: decimal(20),
  blockHash: hash,
  proposal: hash,
  approvals: z.int().min(0),
});
export type BundledRegistry = z.infer<typeof bundledRegistrySchema>;

/** The line of the host in a checkpoint of its verifier; `ledger` has what proves the checkpoint's root. */
export const bundledCheckpointSchema = z.strictObject({
  contract: address,
  reporter: address,
  number: decimal(19),
  block: decimal(20),
  blockHash: hash,
  line: z
    .string()
    .max(MAX_LINE_CHARACTERS)
    .refine((value) => value.isWellFormed(), "not Unicode text"),
  /** Of the line among the checkpoint's lines, and how many these are. */
  index: z.int().min(0),
  size: z.int().min(1),
  /** RFC 9162 §2.1.3: from the line's neighbour upwards. */
  path: z.array(digestSchema).max(MAX_PATH),
});
export type BundledCheckpoint = z.infer<typeof bundledCheckpointSchema>;

/** What of a chain's state leads to the baselines' approvals, then to the checkpoint. */
export const bundledLedgerSchema = z.strictObject({
  /** In the order in which they are first named. */
  blocks: z
    .array(
      z.strictObject({
        /** RLP of the block's header. */
        header: base64(MAX_HEADER_BYTES),
        /** RLP of those that follow on it, where their seals are what proves it (Clique). */
        above: z.array(base64(MAX_HEADER_BYTES)).max(MAX_ABOVE),
      }),
    )
    .max(MAX_BLOCKS)
    .refine(
      (blocks) => charactersOf(blocks.flatMap(({ header, above }) => [header, ...above])) <= MAX_ALL_HEADERS,
      "more headers than a bundle can have",
    ),
  /** RLP of the nodes of the tries of accounts and storage, in the order in which a check first takes them. */
  nodes: z
    .array(base64(MAX_NODE_BYTES))
    .max(MAX_NODES)
    .refine((nodes) => charactersOf(nodes) <= MAX_ALL_NODES, "more nodes than a bundle can have"),
});
export type BundledLedger = z.infer<typeof bundledLedgerSchema>;
