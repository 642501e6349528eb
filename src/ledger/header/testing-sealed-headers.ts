// Headers that tests seal themselves, by the specifications, with keys of their own.
import { type Address, fromRlp, type Hex, numberToHex, toRlp } from "viem";
import { privateKeyToAccount, sign } from "viem/accounts";
import { type BftKind, istanbulDigest, parseBftExtra } from "./bft-extra.ts";
import { type Header, hashWithExtra, parseHeader, verifyHeader } from "./block-header.ts";

export interface TestSigner {
  readonly secret: Hex;
  /** In lower case. */
  readonly address: Address;
}

/** Fixed keys, the same in every run. */
export function testSigner(number: number): TestSigner {
  const secret = numberToHex(number, { size: 32 });
  return { secret, address: privateKeyToAccount(secret).address.toLowerCase() as Address };
}

/** 65 bytes: r, s and 0 or 1. */
export async function sealOf({ secret }: TestSigner, hash: Hex): Promise<Hex> {
  const { r, s, yParity } = await sign({ hash, privateKey: secret });
  return `0x${r.slice(2)}${s.slice(2)}0${yParity}`;
}

/** Another signature of the same signer over the same hash, which needs no key: with the other s. */
export function twinOf(seal: Hex): Hex {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = (order - BigInt(`0x${seal.slice(66, 130)}`)).toString(16).padStart(64, "0");
  return `0x${seal.slice(2, 66)}${s}0${seal.endsWith("0") ? 1 : 0}`;
}

export interface HeaderFields {
  readonly number?: number;
  readonly parentHash?: Hex;
  readonly stateRoot?: Hex;
  readonly timestamp?: number;
  readonly difficulty?: number;
  readonly miner?: Hex;
  readonly nonce?: Hex;
  readonly mixHash?: Hex;
  readonly extraData?: Hex;
}

const zeros = (bytes: number): Hex => `0x${"00".repeat(bytes)}`;
const number = (value: number): Hex => (value === 0 ? "0x" : `0x${evenly(value.toString(16))}`);
const evenly = (digits: string): string => (digits.length % 2 === 0 ? digits : `0${digits}`);
const emptyTrie: Hex = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

/** A header with these fields. */
export function testHeader(fields: HeaderFields): Header {
  return parseHeader(
    toRlp([
      fields.parentHash ?? zeros(32),
      "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
      fields.miner ?? zeros(20),
      fields.stateRoot ?? zeros(32),
      ...[emptyTrie, emptyTrie, zeros(256)],
      ...[number(fields.difficulty ?? 1), number(fields.number ?? 1), number(8_000_000), number(0)],
      number(fields.timestamp ?? 1_700_000_000),
      ...[fields.extraData ?? "0x", fields.mixHash ?? zeros(32), fields.nonce ?? zeros(8)],
    ]),
  );
}

/** A header as eth_getBlockByNumber gives it. */
export function toBlock({ rlp, hash }: Header): Record<string, string> {
  const names =
    "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed timestamp extraData mixHash nonce".split(
      " ",
    );
  const numbers = ["difficulty", "number", "gasLimit", "gasUsed", "timestamp"];
  const items = fromRlp(rlp, "hex") as Hex[];
  const fields = names.map((name, index) => {
    const item = items[index]!;
    return [name, numbers.includes(name) ? `0x${item.slice(2).replace(/^0+/, "") || "0"}` : item] as const;
  });
  return { hash, ...Object.fromEntries(fields) };
}

/** The same header with another value in one place: 12 is its extra data. */
export function withItem({ rlp }: Header, index: number, value: Hex): Header {
  return parseHeader(toRlp((fromRlp(rlp, "hex") as Hex[]).with(index, value)));
}

export const EXTRA = 12;
const MIX_HASH = 13;

/** A header that these validators committed to, as Besu makes it. */
export function bftHeader(
  kind: BftKind,
  validators: readonly TestSigner[],
  by: readonly TestSigner[],
  { round = 0, ...fields }: HeaderFields & { round?: number } = {},
): Promise<Header> {
  return commit(testHeader(fields), kind, validators, by, round);
}

/** A block of any chain, an answer to eth_getBlockByNumber, as if its chain had these validators: state and all. */
export async function commitBlock(
  block: object,
  kind: BftKind,
  validators: readonly TestSigner[],
  by: readonly TestSigner[],
  round = 0,
): Promise<object> {
  const { hash, extraData, mixHash } = await commit(verifyHeader(block), kind, validators, by, round);
  return { ...block, hash, extraData, mixHash };
}

async function commit(
  header: Header,
  kind: BftKind,
  validators: readonly TestSigner[],
  by: readonly TestSigner[],
  round: number,
): Promise<Header> {
  const named = validators.map(({ address }) => address);
  const extra = (seals: readonly Hex[]): Hex =>
    toRlp([
      zeros(32),
      named,
      kind === "qbft" ? [] : "0x",
      kind === "qbft" ? number(round) : numberToHex(round, { size: 4 }),
      seals,
    ]);
  const unsealed = withItem(withItem(header, MIX_HASH, istanbulDigest), EXTRA, extra([]));
  const signed = hashWithExtra(unsealed, parseBftExtra(unsealed.extraData)!.signed);
  const seals = await Promise.all(by.map((signer) => sealOf(signer, signed)));
  return withItem(unsealed, EXTRA, extra(seals));
}
