import type { Address, Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import type { Endpoints } from "./rpc/endpoints.ts";
import { refusal } from "./rpc/refusal.ts";
import { openRpc, type Rpc, type RpcAnswer, withRequest } from "./rpc/rpc.ts";

/** Bound of a request to whom transactions are sent. */
const TIMEOUT_MS = 10_000;

/** A transaction before it is signed. */
export interface Intent {
  readonly from: Address;
  readonly to: Address;
  readonly data: Hex;
}

/**
 * To whom a transaction goes: every endpoint that would take it, of those that have the believed block, as if they were one. Who
 * refuses what others take is named and left out.
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

/** By what answers of several endpoints are put in order; of other methods the first one's word is taken. */
const orderOf: Record<string, (result: unknown) => bigint> = {
  eth_estimateGas: quantityOf,
  eth_gasPrice: quantityOf,
  eth_getTransactionCount: quantityOf,
  eth_getBlockByNumber: (block) => quantityOf((block as { number: unknown }).number),
};

/**
 * All of them as one. What is signed goes to all: it is enough that one takes it. Of numbers the middle one counts, so that a
 * nonce, a price or a height that few of them make up keeps nothing back; of receipts the one that most of them have.
 */
function toAll(rpcs: readonly Rpc[]): Rpc {
  const first = rpcs[0]!;
  const request = async (method: string, params: readonly unknown[]): Promise<RpcAnswer> => {
    const value = orderOf[method];
    if (value === undefined && method !== "eth_sendRawTransaction" && method !== "eth_getTransactionReceipt")
      return first.request(method, params);
    const settled = await Promise.allSettled(rpcs.map((rpc) => rpc.request(method, params)));
    const results = settled.flatMap((one) =>
      one.status === "fulfilled" && "result" in one.value ? [one.value.result] : [],
    );
    const chosen = value === undefined ? mostTold(results) : middle(results, value);
    if (chosen !== undefined) return { result: chosen };
    const [own] = settled;
    if (own!.status === "rejected") throw own!.reason;
    return own!.value;
  };
  return withRequest(first, request);
}

/** Of an even number the lower one of both; undefined when none is a number. */
function middle(results: readonly unknown[], value: (result: unknown) => bigint): unknown {
  const valued = results.flatMap((result) => {
    try {
      return [{ result, value: value(result) }];
    } catch {
      // Not a number: what it is, who asks the first one alone is told.
      return [];
    }
  });
  valued.sort((a, b) => Number(a.value > b.value) - Number(a.value < b.value));
  return valued[Math.floor((valued.length - 1) / 2)]?.result;
}

/** What most of them say, of those that say something; undefined when none does. */
function mostTold(results: readonly unknown[]): unknown {
  const same = [
    ...Map.groupBy(
      results.filter((result) => result !== null),
      (result) => JSON.stringify(result),
    ).values(),
  ];
  return same.toSorted((a, b) => b.length - a.length)[0]?.[0];
}

function quantityOf(result: unknown): bigint {
  if (typeof result !== "string" || !/^0x[0-9a-f]{1,64}$/.test(result)) throw new Error("not a quantity");
  return BigInt(result);
}
