import { decodeFunctionResult, encodeFunctionData, type Hex } from "viem";
import { callRegistry, type Registry } from "./registry.ts";
import { registryAbi as abi } from "./registry-abi.ts";
import { garbage } from "./rpc.ts";

/** `Status` of contracts/BaselineRegistry.sol, by its numbers. */
const statuses = ["none", "proposed", "approved", "superseded", "outdated"] as const;
export type ProposalStatus = (typeof statuses)[number];

/** The approved proposal of an identity and its root; both all zero unless the status is `approved`. */
export async function readBaselineOf(registry: Registry, identity: Hex) {
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "baselineOf", args: [identity] }));
  const [status, id, root] = decoded(registry, () => decodeFunctionResult({ abi, functionName: "baselineOf", data }));
  return { status: statusOf(registry, status), id, root };
}

/** The proposal that was made last for an identity, all zero when there is none. */
export async function readLatestProposal(registry: Registry, identity: Hex): Promise<Hex> {
  const args = [identity] as const;
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "latestProposalOf", args }));
  return decoded(registry, () => decodeFunctionResult({ abi, functionName: "latestProposalOf", data }));
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
  return { ...kept, status: statusOf(registry, status) };
}

/** Up to `count` identities with what stands for them, from number `from` on. */
export async function readList(registry: Registry, from: bigint, count: bigint) {
  const data = await callRegistry(registry, encodeFunctionData({ abi, functionName: "list", args: [from, count] }));
  const entries = decoded(registry, () => decodeFunctionResult({ abi, functionName: "list", data }));
  if (entries.length > count) throw garbage(registry.rpc.url, "more identities than asked for");
  return entries.map((entry) => ({ ...entry, status: statusOf(registry, entry.status) }));
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
