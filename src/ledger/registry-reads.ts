import { decodeFunctionResult, encodeFunctionData, type Hex } from "viem";
import { callRegistry, type Registry } from "./registry.ts";
import { registryAbi as abi } from "./registry-abi.ts";
import { garbage } from "./rpc.ts";

/** `Status` of contracts/BaselineRegistry.sol, by its numbers. */
const statuses = ["none", "proposed", "approved", "superseded", "outdated", "revoked"] as const;
export type ProposalStatus = (typeof statuses)[number];

/**
 * What was approved last for an identity, its root, and when it ends (seconds since 1970 UTC, zero: no end); all zero
 * unless the status is `approved` or `revoked`.
 */
export async function readBaselineOf(registry: Registry, identity: Hex) {
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "baselineOf", args: [identity] }));
  const [status, id, root, until] = decoded(registry, () =>
    decodeFunctionResult({ abi, functionName: "baselineOf", data }),
  );
  return { status: statusOf(registry, status), id, root, until: endOf(registry, until) };
}

/** Whether an end has come, by the clock of who asks (milliseconds since 1970 UTC). */
export function hasEnded(until: bigint, nowMs: number = Date.now()): boolean {
  return until !== 0n && until * 1000n <= BigInt(Math.trunc(nowMs));
}

/** The proposal that was made last for an identity, all zero when there is none. */
export async function readLatestProposal(registry: Registry, identity: Hex): Promise<Hex> {
  const args = [identity] as const;
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "latestProposalOf", args }));
  return decoded(registry, () => decodeFunctionResult({ abi, functionName: "latestProposalOf", data }));
}

/** How many motions of the publishers have passed. */
export async function readEpoch(registry: Registry): Promise<number> {
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "epoch" }));
  return decoded(registry, () => decodeFunctionResult({ abi, functionName: "epoch", data }));
}

/** Who publishes, how many of them must sign, and the contract that took this one's place; zero while none did. */
export async function readGovernance(registry: Registry) {
  const ask = (functionName: "publishers" | "quorum" | "successor") =>
    callRegistry(registry, encodeFunctionData({ abi, functionName }));
  const [list, number, next] = await Promise.all([ask("publishers"), ask("quorum"), ask("successor")]);
  return decoded(registry, () => ({
    publishers: decodeFunctionResult({ abi, functionName: "publishers", data: list }),
    quorum: decodeFunctionResult({ abi, functionName: "quorum", data: number }),
    successor: decodeFunctionResult({ abi, functionName: "successor", data: next }),
  }));
}

/** How many publishers have signed for a motion. */
export async function readSignatures(registry: Registry, motion: Hex): Promise<number> {
  const args = [motion] as const;
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "signaturesOf", args }));
  return decoded(registry, () => decodeFunctionResult({ abi, functionName: "signaturesOf", data }));
}

/** How many baselines of an identity were approved so far. */
export async function readRevision(registry: Registry, identity: Hex): Promise<bigint> {
  const args = [identity] as const;
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "revisionOf", args }));
  return decoded(registry, () => decodeFunctionResult({ abi, functionName: "revisionOf", data }));
}

/** All that the contract keeps of a proposal, as the endpoint tells it. */
export async function readProposalState(registry: Registry, id: Hex) {
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "proposal", args: [id] }));
  const [status, kept] = decoded(registry, () => decodeFunctionResult({ abi, functionName: "proposal", data }));
  return { ...kept, until: endOf(registry, kept.until), status: statusOf(registry, status) };
}

/** Up to `count` identities with what stands for them, from number `from` on. */
export async function readList(registry: Registry, from: bigint, count: bigint) {
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "list", args: [from, count] }));
  const entries = decoded(registry, () => decodeFunctionResult({ abi, functionName: "list", data }));
  if (entries.length > count) throw garbage(registry.rpc.url, "more identities than asked for");
  return entries.map((entry) => ({
    ...entry,
    ...{ until: endOf(registry, entry.until), status: statusOf(registry, entry.status) },
  }));
}

/** The last second that RFC 3339 can write. */
export const LAST_SECOND = 253_402_300_799n;

function endOf(registry: Registry, until: bigint): bigint {
  if (until > LAST_SECOND) throw garbage(registry.rpc.url, "an end beyond all years");
  return until;
}

function statusOf(registry: Registry, status: number): ProposalStatus {
  const name = statuses[status];
  if (name === undefined) throw garbage(registry.rpc.url, "unknown status");
  return name;
}

/** viem throws many kinds of errors at bytes that are not what the ABI says; all mean the same here. */
function decoded<T>(registry: Registry, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw garbage(registry.rpc.url, "malformed result of a call", error);
  }
}
