import { decodeAbiParameters, encodeEventTopics, type Hex, hexToBytes, numberToHex, parseAbiParameters } from "viem";
import { type Baseline, parseBaseline } from "../baseline/format.ts";
import { toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { hashChain, maxChunkBytes, unpackLines } from "./contract/entry-data.ts";
import { hashToIdentity } from "./contract/identity.ts";
import { registryAbi } from "./contract/registry-abi.ts";
import type { ProposalBody } from "./proposal.ts";
import type { ProvedContract } from "./proved-contract.ts";
import { garbage } from "./rpc/rpc.ts";
import { callLogs } from "./rpc/rpc-values.ts";

/** Who is asked for entries, and of which contract. */
export type Source = Pick<ProvedContract, "rpc" | "address">;

/**
 * The baseline of a proposal, rebuilt from event data alone, and proven to be what the proposal's id names: the pieces
 * by the hash chain, the lines by number and Merkle root, the header by the identity.
 * Throws `baseline-altered` when the data is not what the id names, `ledger-refused` when it is not complete.
 */
export async function rebuildBaseline(registry: Source, proposal: ProposalBody): Promise<Baseline> {
  if (proposal.delivered !== proposal.chunks) {
    throw new PimsError(
      "ledger-refused",
      `the proposal's entry data is not complete, ${proposal.delivered} of ${proposal.chunks} pieces are there`,
      { hint: "its publisher has to run pims baseline publish again to deliver the rest" },
    );
  }
  const chunks: Uint8Array[] = [];
  for (let index = 0; index < proposal.chunks; index++) chunks.push(await readChunk(registry, proposal, index));
  if (hashChain(chunks)[0] !== proposal.dataHash) throw altered(proposal, "entry data");
  const lines = unpackLines(chunks);
  if (lines.length !== proposal.lines) throw altered(proposal, "number of lines");
  const baseline = parseLines(proposal, lines);
  if (`0x${toHex(baseline.root)}` !== proposal.root) throw altered(proposal, "Merkle root");
  if (baseline.header.identity !== hashToIdentity(proposal.identity)) throw altered(proposal, "identity");
  return baseline;
}

/** One request a piece, so that no answer is larger than one piece, however large the baseline is. */
async function readChunk(registry: Source, proposal: ProposalBody, index: number): Promise<Uint8Array> {
  const topics = encodeEventTopics({
    abi: registryAbi,
    eventName: "BaselineData",
    args: { id: proposal.id, index },
  });
  const filter = {
    address: registry.address,
    topics,
    fromBlock: numberToHex(proposal.firstBlock),
    toBlock: numberToHex(proposal.lastBlock),
  };
  const logs = await callLogs(registry.rpc, filter, 1);
  const log = logs[0];
  if (log === undefined) throw garbage(registry.rpc.url, `piece ${index} of the entry data is missing`);
  const chunk = decodeChunk(registry, log.data);
  if (chunk.length > maxChunkBytes) throw garbage(registry.rpc.url, `piece ${index} of the entry data is too long`);
  return chunk;
}

function decodeChunk(registry: Source, data: Hex): Uint8Array {
  try {
    return hexToBytes(decodeAbiParameters(parseAbiParameters("bytes data"), data)[0]);
  } catch (error) {
    throw garbage(registry.rpc.url, "malformed entry data", error);
  }
}

/** A malformed baseline on the chain is the chain's fault, not that of a file the caller gave. */
function parseLines(proposal: ProposalBody, lines: readonly string[]): Baseline {
  try {
    return parseBaseline(lines);
  } catch (error) {
    throw altered(proposal, "form", error);
  }
}

function altered(proposal: ProposalBody, what: string, cause?: unknown): PimsError {
  const identity = hashToIdentity(proposal.identity);
  return new PimsError("baseline-altered", `the baseline of ${identity} on the chain is not what was signed: ${what}`, {
    hint: "another endpoint of the same chain may give the true one",
    cause,
  });
}
