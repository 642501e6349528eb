import { fromRlp, type Hex, toRlp } from "viem";

/** What stands as mixHash in every header of the Istanbul family. */
export const istanbulDigest: Hex = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365";

/** The two forms that Besu writes; GoQuorum's QBFT is the same. Its older Istanbul form is not known here. */
export type BftKind = "qbft" | "ibft2";

/** The extra data of a QBFT or IBFT 2.0 header. */
export interface BftExtra {
  readonly kind: BftKind;
  /** Whom the header itself names, in lower case: its maker's word. */
  readonly validators: readonly Hex[];
  /** What should be signatures, each of at most 65 bytes. */
  readonly seals: readonly Hex[];
  /** The extra data that validators sign: without seals. */
  readonly signed: Hex;
  /** The extra data that the block's hash is over: without seals and round, which differ from node to node. */
  readonly onChain: Hex;
}

/**
 * Reads [vanity, validators, vote, round, seals] (EEA QBFT specification, and Besu's IBFT 2.0). The two kinds differ in form: without a vote QBFT has
 * an empty list, IBFT 2.0 an empty string; QBFT's round is a number, IBFT's has four bytes. Null for anything else.
 */
export function parseBftExtra(extraData: Hex): BftExtra | null {
  const items = decoded(extraData);
  if (!Array.isArray(items) || items.length !== 5) return null;
  const [vanity, validators, vote, round, seals] = items as unknown[];
  if (!isBytes(vanity, 32, 32) || !isListOf(validators, 20, 20) || !isListOf(seals, 0, 65)) return null;
  const kind = kindOf(vote, round);
  if (kind === null) return null;
  const common = [vanity, validators, vote as RlpItem] as const;
  return {
    ...{ kind, validators, seals },
    signed: toRlp(kind === "qbft" ? [...common, round as Hex, []] : [...common, round as Hex]),
    onChain: toRlp(kind === "qbft" ? [...common, "0x", []] : [...common]),
  };
}

type RlpItem = Hex | readonly RlpItem[];

function decoded(rlp: Hex): unknown {
  try {
    return fromRlp(rlp, "hex");
  } catch {
    return null;
  }
}

function kindOf(vote: unknown, round: unknown): BftKind | null {
  const isVote = Array.isArray(vote) && vote.length === 2 && isBytes(vote[0], 20, 20) && isBytes(vote[1], 0, 1);
  const isEmptyList = Array.isArray(vote) && vote.length === 0;
  if ((isVote || isEmptyList) && isBytes(round, 0, 3) && !round.startsWith("0x00")) return "qbft";
  if ((isVote || vote === "0x") && isBytes(round, 4, 4)) return "ibft2";
  return null;
}

function isBytes(item: unknown, min: number, max: number): item is Hex {
  return typeof item === "string" && item.length >= 2 + 2 * min && item.length <= 2 + 2 * max;
}

function isListOf(items: unknown, min: number, max: number): items is Hex[] {
  return Array.isArray(items) && items.every((item) => isBytes(item, min, max));
}
