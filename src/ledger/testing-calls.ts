// What a contract's own read functions say, for tests that compare it with what is proved of its storage.
import { type Address, decodeFunctionResult, encodeFunctionData, type Hex } from "viem";
import { registryAbi as abi } from "./contract/registry-abi.ts";
import type { Rpc } from "./rpc/rpc.ts";

type Called = { readonly rpc: Rpc; readonly address: Address };
const statuses = ["none", "proposed", "approved", "superseded", "outdated", "revoked"] as const;

/** At the newest block, still encoded. */
export async function callContract({ rpc, address }: Called, data: Hex): Promise<Hex> {
  return (await rpc.call("eth_call", [{ to: address, data }, "latest"])) as Hex;
}

export async function callGovernance(registry: Called) {
  const ask = (functionName: "publishers" | "quorum" | "epoch") =>
    callContract(registry, encodeFunctionData({ abi, functionName }));
  const [publishers, quorum, epoch] = await Promise.all([ask("publishers"), ask("quorum"), ask("epoch")]);
  return {
    publishers: decodeFunctionResult({ abi, functionName: "publishers", data: publishers }),
    quorum: decodeFunctionResult({ abi, functionName: "quorum", data: quorum }),
    epoch: decodeFunctionResult({ abi, functionName: "epoch", data: epoch }),
  };
}

export async function callProposal(registry: Called, id: Hex) {
  const data = await callContract(registry, encodeFunctionData({ abi, functionName: "proposal", args: [id] }));
  const [status, kept] = decodeFunctionResult({ abi, functionName: "proposal", data });
  return { ...kept, status: statuses[status]! };
}
