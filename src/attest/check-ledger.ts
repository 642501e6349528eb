import type { Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { isInCheckpoint } from "../ledger/checkpoints.ts";
import { hasEnded } from "../ledger/contract/baseline-end.ts";
import { rootSlot } from "../ledger/contract/checkpoints-storage.ts";
import { identityToHash } from "../ledger/contract/identity.ts";
import { istanbulDigest } from "../ledger/header/bft-extra.ts";
import { type Header, parseHeader } from "../ledger/header/block-header.ts";
import { followsOn } from "../ledger/header/clique-seals.ts";
import { readContract } from "../ledger/proof/read-contract.ts";
import { SharedNodes } from "../ledger/proof/shared-nodes.ts";
import { standingIn } from "../ledger/standing.ts";
import { describeBlock } from "./block-text.ts";
import type { Bundle } from "./bundle.ts";
import type { Check } from "./bundle-check.ts";
import type { BundledCheckpoint, BundledLedger, BundledRegistry } from "./bundle-ledger.ts";

/** What a bundle proves of a chain's state, if its blocks are that chain's. */
export interface ProvedByLedger {
  /** By image: in which block its baseline is approved. */
  readonly approvals: ReadonlyMap<string, { readonly registry: BundledRegistry; readonly header: Header }>;
  readonly checkpoint: { readonly checkpoint: BundledCheckpoint; readonly header: Header } | null;
}

const NOTHING: ProvedByLedger = { approvals: new Map(), checkpoint: null };

/**
 * Follows the proofs of a bundle from its blocks' headers. Their order is one only: baselines in theirs, then the
 * checkpoint; each block and node where it is first needed. Whether a block is the chain's no file can prove.
 */
export function checkLedger(bundle: Bundle): ProvedByLedger & { readonly checks: readonly Check[] } {
  const { ledger, checkpoint } = bundle;
  const check = "ledger";
  const shown = bundle.baselines.filter(({ registry }) => registry !== null);
  if (shown.length === 0 && checkpoint === null && ledger.blocks.length + ledger.nodes.length === 0)
    return { ...NOTHING, checks: [] };
  try {
    const proved = follow(bundle);
    return { ...proved, checks: [{ check, outcome: "ok", text: describe(bundle, proved) }] };
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    return { ...NOTHING, checks: [{ check, outcome: "failed", text: error.message }] };
  }
}

function follow({ baselines, checkpoint, ledger, evidence }: Bundle): ProvedByLedger {
  const blocks = new Blocks(ledger.blocks);
  const nodes = new SharedNodes(ledger.nodes.map(hexOf));
  const approvals = new Map<string, { registry: BundledRegistry; header: Header }>();
  for (const { identity, root, registry } of baselines) {
    if (registry === null) continue;
    const header = blocks.take(registry);
    of(`the baseline of ${identity}`, () => {
      const words = readContract(
        header.stateRoot,
        { name: "BaselineRegistry", address: registry.contract },
        nodes.take,
      );
      const place = { chainId: BigInt(registry.chainId), address: registry.contract };
      const standing = standingIn(place, identityToHash(identity), words);
      if (standing.status !== "approved") throw wrong(`it is ${standing.status} in block ${header.number}`);
      const { id, approvals: signed, until, root: approved } = standing.proposal;
      if (approved !== `0x${root}`) throw wrong("the ledger has approved another");
      if (id !== registry.proposal || signed !== registry.approvals) throw wrong("its proposal is another");
      if (hasEnded(until, Date.parse(evidence.acceptedAt))) throw wrong("it ended before the evidence was accepted");
    });
    approvals.set(identity, { registry, header });
  }
  const said = checkpoint === null ? null : { checkpoint, header: blocks.take(checkpoint) };
  if (said !== null)
    of(`checkpoint ${said.checkpoint.number}`, () => {
      const { contract, reporter, number, line, index, size, path } = said.checkpoint;
      const place = { name: "Checkpoints", address: contract } as const;
      const [root] = readContract(said.header.stateRoot, place, nodes.take)([rootSlot(reporter, BigInt(number))]);
      if (/^0x0+$/.test(root!)) throw wrong(`its reporter has said none of this number by block ${said.header.number}`);
      if (!isInCheckpoint({ line, index, size, nodes: path }, root!)) throw wrong("the host's line is not in it");
    });
  nodes.end();
  blocks.end();
  return { approvals, checkpoint: said };
}

/** Headers in the order in which they are first named. */
class Blocks {
  readonly #given: BundledLedger["blocks"];
  readonly #taken = new Map<Hex, Header>();

  constructor(given: BundledLedger["blocks"]) {
    this.#given = given;
  }

  take({ block, blockHash }: { block: string; blockHash: Hex }): Header {
    const known = this.#taken.get(blockHash);
    const given = this.#given[this.#taken.size];
    if (known === undefined && given === undefined) throw wrong(`the header of block ${block} is missing`);
    const header = known ?? parseHeader(hexOf(given!.header));
    if (header.hash !== blockHash || `${header.number}` !== block)
      throw wrong(
        `the header that stands for block ${block} ${blockHash} is that of block ${header.number} ${header.hash}`,
      );
    if (known === undefined) {
      if (given!.above.length > 0 && header.mixHash === istanbulDigest)
        throw wrong(`headers stand above block ${block}, whose own seals prove it`);
      const chain = [header, ...given!.above.map((one) => parseHeader(hexOf(one)))];
      if (!chain.every((one, index) => index === 0 || followsOn(chain[index - 1]!, one)))
        throw wrong(`the headers above block ${block} do not follow on it`);
    }
    this.#taken.set(blockHash, header);
    return header;
  }

  end(): void {
    if (this.#taken.size !== this.#given.length) throw wrong("a header is there that nothing is proved by");
  }
}

/** Says of what it is that a proof does not prove. */
function of(what: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw error instanceof PimsError ? wrong(`${what}: ${error.message}`) : error;
  }
}

function wrong(text: string): PimsError {
  return new PimsError("ledger-unverified", text);
}

function describe({ baselines, evidence }: Bundle, { approvals, checkpoint }: ProvedByLedger): string {
  const all = [...approvals.values(), ...(checkpoint === null ? [] : [checkpoint])].map(({ header }) => header);
  const oldest = all.reduce((one, other) => (other.timestamp < one.timestamp ? other : one));
  const blocks = new Set(all.map(({ hash }) => hash)).size;
  const where = describeBlock(oldest, evidence.acceptedAt);
  const words = [
    `${approvals.size} of ${baselines.length} baselines approved`,
    ...(checkpoint === null ? [] : [`checkpoint ${checkpoint.checkpoint.number} said`]),
  ].join(" and ");
  return `${words} in the state of ${blocks === 1 ? where : `${blocks} blocks, the oldest ${where}`}`;
}

const hexOf = (base64: string): Hex => `0x${Buffer.from(base64, "base64").toString("hex")}`;
