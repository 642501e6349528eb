import { numberToHex } from "viem";
import { PimsError } from "../../core/errors.ts";
import type { Endpoints, Told } from "../rpc/endpoints.ts";
import { garbage, type Rpc } from "../rpc/rpc.ts";
import { callQuantity } from "../rpc/rpc-values.ts";
import type { Header } from "./block-header.ts";
import { readHeader } from "./read-header.ts";

/** Why a header is believed where nobody's seals are known. */
export interface HeaderPolicy {
  /** How many endpoints must have the same block: more than half of them. */
  readonly agree: number;
  /** How many blocks above it there must be, or the chain's own word on what is final. */
  readonly depth: number | "finalized";
}

/** A block that is believed to be the chain's: enough endpoints have it, or seals prove it. */
export interface BelievedHeader {
  readonly header: Header;
  readonly chainId: bigint;
  /** Who has it: whom to ask for proofs. */
  readonly by: readonly Rpc[];
  /** Who will have it in a moment, as seals prove it: for where nobody of `by` gives proofs. */
  readonly others?: readonly Rpc[];
  /** Those above it whose seals prove it, where that takes others than its own (Clique). */
  readonly above?: readonly Header[];
}

export const MAX_LAG = 8n;

interface Head {
  readonly chainId: bigint;
  /** The newest block that the policy allows of this endpoint. */
  readonly height: bigint;
  readonly header: Header;
}

/**
 * The newest block that as many endpoints agree on as the policy asks for. Endpoints that answer slowly or with garbage,
 * that are far behind or have another block are named and left out. Throws `ledger-unreachable`, `ledger-unverified`.
 */
export async function agreeOnHeader(endpoints: Endpoints, policy: HeaderPolicy): Promise<BelievedHeader> {
  const right = endpoints.withoutFault();
  const agreed = right.length >= policy.agree ? await agreeAmong(endpoints, right, policy) : null;
  if (agreed !== null) return agreed;
  const all = right.length < endpoints.all.length ? await agreeAmong(endpoints, endpoints.all, policy) : null;
  if (all !== null) return all;
  throw nothingProved(
    endpoints,
    `no ${policy.agree} of the ledger's ${endpoints.all.length} endpoints agree on a block`,
  );
}

async function agreeAmong(endpoints: Endpoints, rpcs: readonly Rpc[], { agree, depth }: HeaderPolicy) {
  const heads = await endpoints.ask(rpcs, agree, (rpc) => readHead(rpc, depth));
  const heights = [...new Set(heads.map(({ value }) => value.height))].sort((a, b) => (a < b ? 1 : -1));
  for (const height of heights) {
    const high = new Map(heads.filter(({ value }) => value.height >= height).map(({ rpc, value }) => [rpc, value]));
    if (high.size < agree) continue;
    const told = await endpoints.ask([...high.keys()], agree, async (rpc) => {
      const { chainId, header } = high.get(rpc)!;
      return { chainId, header: header.number === height ? header : await readHeader(rpc, numberToHex(height)) };
    });
    const blocks = Map.groupBy(told, ({ value }) => `${value.chainId} ${value.header.hash}`);
    const agreed = [...blocks.values()].find((same) => same.length >= agree);
    if (agreed === undefined) continue;
    for (const { rpc } of agreed) endpoints.isRight(rpc);
    for (const other of told) if (!agreed.includes(other)) endpoints.leaveOut(other.rpc, fork(other, height));
    for (const { rpc, value } of heads) leaveOutBehind(endpoints, rpc, value.height, height);
    const { chainId, header } = agreed[0]!.value;
    return { chainId, header, by: agreed.map(({ rpc }) => rpc) };
  }
  return null;
}

async function readHead(rpc: Rpc, depth: HeaderPolicy["depth"]): Promise<Head> {
  const [chainId, header] = await Promise.all([
    callQuantity(rpc, "eth_chainId", []),
    readHeader(rpc, depth === "finalized" ? depth : "latest"),
  ]);
  const height = depth === "finalized" ? header.number : header.number - BigInt(depth);
  if (height < 0n) throw garbage(rpc.url, `a chain of fewer than ${depth} blocks`);
  return { chainId, height, header };
}

const fork = ({ rpc, value }: Told<{ chainId: bigint }>, height: bigint): PimsError =>
  new PimsError(
    "ledger-unverified",
    `the chain at ${rpc.name}, number ${value.chainId}, has another block ${height} than the others`,
  );

/** Names an endpoint that is so many blocks behind that it is not merely a moment late. */
export function leaveOutBehind(endpoints: Endpoints, rpc: Rpc, height: bigint, newest: bigint, lag = MAX_LAG): void {
  if (height + lag >= newest) return;
  const text = `the chain at ${rpc.name} is behind, at block ${height} of ${newest}`;
  endpoints.leaveOut(rpc, new PimsError("ledger-unverified", text));
}

/** Of one endpoint its own fault; of several how each stands. */
export function nothingProved(endpoints: Endpoints, what: string): PimsError {
  const faults = endpoints.all.map((rpc) => endpoints.faultOf(rpc));
  const only = faults[0];
  if (faults.length === 1 && only !== undefined) return only;
  const isSilent = faults.every((fault) => fault?.code === "ledger-unreachable");
  const isAlone = faults.filter((fault) => fault === undefined).length === 1;
  const standing = isAlone ? "is the only one without a fault" : "has a block that too few others have";
  const each = endpoints.all.map((rpc, index) => (faults[index]?.message ?? `${rpc.name} ${standing}`).slice(0, 200));
  return new PimsError(isSilent ? "ledger-unreachable" : "ledger-unverified", `${what}: ${each.join("; ")}`, {
    hint: "look at the endpoints, and at who keeps them",
  });
}
