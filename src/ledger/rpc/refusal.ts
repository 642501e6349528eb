import { decodeErrorResult, type Hex } from "viem";
import { PimsError } from "../../core/errors.ts";
import { checkpointsAbi } from "../contract/checkpoints-abi.ts";
import { hostRegistryAbi } from "../contract/host-registry-abi.ts";
import { registryAbi } from "../contract/registry-abi.ts";
import type { Rpc, RpcFailure } from "./rpc.ts";

const abi = [...registryAbi, ...hostRegistryAbi, ...checkpointsAbi];

const sentences: Record<string, string> = {
  AccessControlUnauthorizedAccount: "this key is not a publisher of the registry",
  AlreadyProposed: "exactly this baseline is proposed already",
  AlreadySigned: "this publisher has signed for it already, another one has to",
  BadProposal: "the registry does not accept such a proposal",
  BadName: "that is not the name of a TPM's key",
  BadOverlap: "an overlap has at most 366 days, and can only be made shorter",
  BadPublisher: "a publisher is the zero address, the deployer, or named twice",
  BadQuorum: "the quorum has to be at least 2 and at most the number of publishers",
  BadRoot: "a checkpoint has a root",
  BadSuccessor: "there is no other contract at the successor's address",
  IncompleteData: "the proposal's entry data is not complete",
  IsRevoked: "the key is revoked, and does not come back",
  IsRetired: "the registry has given way to its successor",
  NotOpen:
    "the proposal is decided already: approved, revoked, or outdated by another one or by a change of publishers",
  OnlyByQuorum: "only a quorum of publishers changes who publishes",
  OutOfOrder: "the next checkpoint of this key has another number",
  UnknownProposal: "there is no such proposal",
  WrongChunk: "the piece of entry data is not the one that was proposed",
};

/** Why what is to be revoked or superseded, or to take its place, is not what it has to be: by `Status` of the contract. */
const notApproved: Record<number, string> = {
  1: "is not approved yet",
  2: "cannot take the place: it is the same one, or ends itself",
  3: "was replaced by a later approval already",
  4: "was never approved, and cannot be any more",
  5: "is revoked already, for good",
};

/**
 * What a node's error means. When the registry's code reverted it is `ledger-refused` with the reason in words, and
 * the reason's name in `cause`; otherwise `ledger-refused` with the node's words.
 */
export function refusal(rpc: Rpc, failure: RpcFailure): PimsError {
  const reason = revertReason(failure.data);
  const sentence = reason === undefined ? undefined : sentenceOf(reason);
  if (sentence !== undefined) return new PimsError("ledger-refused", sentence, { cause: reason!.errorName });
  return new PimsError("ledger-refused", `the chain at ${rpc.name} refused: ${failure.message}`);
}

interface Reason {
  readonly errorName: string;
  readonly args?: readonly unknown[] | undefined;
}

function sentenceOf({ errorName, args = [] }: Reason): string | undefined {
  if (errorName !== "NotApproved") return sentences[errorName];
  const [id, status] = args;
  return `proposal ${id} ${notApproved[Number(status)] ?? "is not approved"}`;
}

function revertReason(data: unknown): Reason | undefined {
  if (typeof data !== "string" || !/^0x[0-9a-f]{8,2000}$/.test(data)) return undefined;
  try {
    return decodeErrorResult({ abi, data: data as Hex });
  } catch {
    return undefined;
  }
}
