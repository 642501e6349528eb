import type { Address, Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import type { Endpoints } from "./endpoints.ts";
import { refusal } from "./refusal.ts";
import { openRpc, type Rpc, type RpcAnswer } from "./rpc.ts";

/** Bound of a request to whom transactions are sent. */
const TIMEOUT_MS = 10_000;

/** A transaction before it is signed. */
export interface Intent {
  readonly from: Address;
  readonly to: Address;
  readonly data: Hex;
}

/**
 * To whom a transaction goes: the first endpoint that would take it, of those that have the believed block. What is signed goes
 * to the others, too, so that none of them can keep it to itself; who refuses what others take is named and left out.
 */
export async function chooseSender(endpoints: Endpoints, by: readonly Rpc[], intent: Intent): Promise<Rpc> {
  const right = endpoints.withoutFault().filter((rpc) => by.includes(rpc));
  const asked = right.length > 0 ? right : by;
  const patient = asked.map(({ url }) => openRpc(url, TIMEOUT_MS));
  if (patient.length === 1) return patient[0]!;
  const answers = await Promise.all(patient.map((rpc) => estimate(rpc, intent)));
  const takers = patient.filter((_, index) => answers[index] === null);
  if (takers.length === 0) return patient[0]!;
  for (const [index, error] of answers.entries()) if (error !== null) endpoints.leaveOut(asked[index]!, error);
  return toAll(takers);
}

/** Null when the endpoint would take it. */
async function estimate(rpc: Rpc, intent: Intent): Promise<PimsError | null> {
  try {
    const answer = await rpc.request("eth_estimateGas", [intent]);
    return "error" in answer ? refusal(rpc, answer.error) : null;
  } catch (error) {
    if (error instanceof PimsError) return error;
    throw error;
  }
}

/** The first of them, but what is signed goes to all: it is enough that one takes it. */
function toAll(rpcs: readonly Rpc[]): Rpc {
  const first = rpcs[0]!;
  const request = async (method: string, params: readonly unknown[]): Promise<RpcAnswer> => {
    if (method !== "eth_sendRawTransaction") return first.request(method, params);
    const [own, ...others] = await Promise.allSettled(rpcs.map((rpc) => rpc.request(method, params)));
    if (own!.status === "fulfilled" && "result" in own!.value) return own!.value;
    const taken = others.find((other) => other.status === "fulfilled" && "result" in other.value);
    if (taken?.status === "fulfilled") return taken.value;
    if (own!.status === "rejected") throw own!.reason;
    return own!.value;
  };
  return { ...first, request };
}
