import type { Bundle, BundledBaseline } from "../attest/bundle.ts";
import type { BundledCheckpoint, BundledRegistry } from "../attest/bundle-ledger.ts";
import type { Approval } from "../ledger/baseline-cache.ts";
import { rootSlot } from "../ledger/contract/checkpoints-storage.ts";
import type { Header } from "../ledger/header/block-header.ts";
import type { ProvedState } from "../ledger/proof/proved-state.ts";
import { readContract } from "../ledger/proof/read-contract.ts";
import { NodeCollector } from "../ledger/proof/shared-nodes.ts";
import { standingIn } from "../ledger/standing.ts";

/** An approved baseline, with what proves that it is. */
export interface ApprovedBaseline {
  readonly identity: string;
  readonly root: string;
  readonly lines: readonly string[];
  /** Null where that is not shown. */
  readonly approval: Approval | null;
}

/** A checkpoint that holds a host, with what proves that it was said. */
export interface ProvedCheckpoint {
  readonly checkpoint: Omit<BundledCheckpoint, "block" | "blockHash">;
  readonly proved: ProvedState;
}

/** Where an approval stands, as bundles and results name it. */
export function registryOf({ chainId, contract, header, proposal }: Approval): BundledRegistry {
  const { id, approvals } = proposal;
  return { ...{ chainId: `${chainId}`, contract }, ...blockOf(header), ...{ proposal: id, approvals } };
}

/** Puts together what proves all of it, each block and node once, in the order in which `checkLedger` takes them. */
export function bundleProofs(
  baselines: readonly ApprovedBaseline[],
  checkpoint: ProvedCheckpoint | null,
): Pick<Bundle, "baselines" | "checkpoint" | "ledger"> {
  const proofs = [...baselines.flatMap(({ approval }) => approval ?? []), ...(checkpoint ? [checkpoint.proved] : [])];
  const nodes = new NodeCollector(proofs.flatMap((proof) => proof.nodes));
  for (const { approval } of baselines) {
    if (approval === null) continue;
    const { chainId, contract: address, header, proposal } = approval;
    const words = readContract(header.stateRoot, { name: "BaselineRegistry", address }, nodes.take);
    standingIn({ chainId, address }, proposal.identity, words);
  }
  if (checkpoint !== null) {
    const { contract: address, header } = checkpoint.proved;
    const { reporter, number } = checkpoint.checkpoint;
    readContract(header.stateRoot, { name: "Checkpoints", address }, nodes.take)([rootSlot(reporter, BigInt(number))]);
  }
  const blocks = new Map(
    proofs.map(({ header, above }) => {
      return [header.hash, { header: base64(header.rlp), above: above.map(({ rlp }) => base64(rlp)) }];
    }),
  );
  return {
    baselines: baselines.map(
      ({ identity, root, lines, approval }): BundledBaseline => ({
        ...{ identity, root, lines: [...lines] },
        registry: approval === null ? null : registryOf(approval),
      }),
    ),
    checkpoint: checkpoint && withBlock(checkpoint),
    ledger: { blocks: [...blocks.values()], nodes: nodes.taken.map(base64) },
  };
}

function withBlock({ checkpoint, proved }: ProvedCheckpoint): BundledCheckpoint {
  const { contract, reporter, number, line, index, size, path } = checkpoint;
  return { ...{ contract, reporter, number }, ...blockOf(proved.header), ...{ line, index, size, path } };
}

const blockOf = ({ number, hash }: Header) => ({ block: `${number}`, blockHash: hash });
const base64 = (hex: string): string => Buffer.from(hex.slice(2), "hex").toString("base64");
