// Clique chains that tests make with keys of their own, and one that geth made.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Hex } from "viem";
import { type Header, hashWithExtra, verifyHeader } from "./block-header.ts";
import type { CliqueRules } from "./clique-snapshot.ts";
import { EXTRA, type HeaderFields, sealOf, type TestSigner, testHeader, withItem } from "./testing-sealed-headers.ts";

/**
 * Blocks 32 to 96 of a chain with epochs of 16 blocks and a period of a second, made once by two nodes of geth v1.13.15:
 * one signer, then a second, then a third that has no node; the third and the second are voted out again.
 */
export function gethHeaders(): { headers: Header[]; signers: Map<number, string[]>; rules: CliqueRules } {
  const text = readFileSync(join(import.meta.dirname, "clique-headers.json"), "utf8");
  const {
    first,
    common,
    signers,
    headers: rows,
  } = JSON.parse(text) as {
    first: number;
    common: Record<string, string>;
    signers: Record<string, string[]>;
    headers: Record<string, string>[];
  };
  const headers: Header[] = [];
  for (const [index, row] of rows.entries())
    headers.push(
      verifyHeader({
        ...common,
        ...{ logsBloom: `0x${"00".repeat(256)}`, miner: `0x${"00".repeat(20)}`, nonce: `0x${"00".repeat(8)}` },
        ...row,
        number: `0x${(first + index).toString(16)}`,
        parentHash: headers.at(-1)?.hash ?? common.parentHash,
      }),
    );
  const rules = { checkpoint: { number: first, hash: headers[0]!.hash }, epoch: 16, periodMs: 1000 };
  return { headers, rules, signers: new Map(Object.entries(signers).map(([number, list]) => [Number(number), list])) };
}

const vanity = "00".repeat(32);
const noSeal = "00".repeat(65);

/** Block 0 of a chain with these signers. */
export function cliqueGenesis(signers: readonly TestSigner[], fields: HeaderFields = {}): Header {
  const listed = signers.map(({ address }) => address.slice(2)).join("");
  return testHeader({ number: 0, difficulty: 1, extraData: `0x${vanity}${listed}${noSeal}`, ...fields });
}

export interface CliqueFields extends HeaderFields {
  /** Whom a vote is about, and whether it is for them. */
  readonly vote?: readonly [Hex, boolean];
  /** Listed in an epoch's first block. */
  readonly listed?: readonly string[];
  /** A seal in place of the right one. */
  readonly seal?: Hex;
}

/** The block after another, by whomever. `signers`: whose turns there are, in any order. */
export async function nextClique(
  parent: Header,
  by: TestSigner,
  signers: readonly { readonly address: string }[],
  { vote, listed = [], seal, ...fields }: CliqueFields = {},
): Promise<Header> {
  const number = Number(parent.number) + 1;
  const turn = signers.map(({ address }) => address).toSorted()[number % signers.length];
  const head = `0x${vanity}${listed.map((address) => address.slice(2)).join("")}` as const;
  const unsealed = testHeader({
    ...{ number, parentHash: parent.hash, timestamp: Number(parent.timestamp) + 1, stateRoot: parent.stateRoot },
    difficulty: turn === by.address ? 2 : 1,
    ...(vote === undefined ? {} : { miner: vote[0], nonce: `0x${(vote[1] ? "ff" : "00").repeat(8)}` as const }),
    extraData: `${head}${noSeal}`,
    ...fields,
  });
  const digits = unsealed.extraData.slice(0, -130) as Hex;
  const made = seal ?? (await sealOf(by, hashWithExtra(unsealed, digits)));
  return withItem(unsealed, EXTRA, `${digits}${made.slice(2)}`);
}
