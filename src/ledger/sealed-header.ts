import { PimsError } from "../core/errors.ts";
import { type AgreedHeader, leaveOutBehind, nothingProved } from "./agree-on-header.ts";
import type { Header } from "./block-header.ts";
import { type Validators, verifyCommitSeals } from "./commit-seals.ts";
import type { Endpoints, Told } from "./endpoints.ts";
import { readHeader } from "./read-header.ts";
import type { Rpc } from "./rpc.ts";
import { callQuantity } from "./rpc-values.ts";

/** How far the clocks of validators may be ahead of ours: what is of later than that was made to look new. */
export const AHEAD_MS = 60_000;

interface Sealed {
  readonly chainId: bigint;
  readonly header: Header;
}

/**
 * The newest block that the configured validators sealed and any endpoint shows (QBFT, IBFT 2.0). One endpoint is enough to
 * prove it; how new it is only its age tells. Endpoints whose newest block is not sealed are named and left out.
 * Throws `ledger-unreachable`, `ledger-unverified`.
 */
export async function readSealedHeader(endpoints: Endpoints, validators: Validators): Promise<AgreedHeader> {
  const question = async (rpc: Rpc): Promise<Sealed> => {
    const [chainId, header] = await Promise.all([callQuantity(rpc, "eth_chainId", []), readHeader(rpc, "latest")]);
    await verifyCommitSeals(header, validators);
    return { chainId, header };
  };
  const right = endpoints.withoutFault();
  let told = await endpoints.ask(right, 1, question);
  if (told.length === 0 && right.length < endpoints.all.length) told = await endpoints.ask(endpoints.all, 1, question);
  if (told.length === 0) throw nothingProved(endpoints, "none of the ledger's endpoints shows a sealed block");
  for (const { rpc } of told) endpoints.isRight(rpc);
  const same = ofOneChain(endpoints, told);
  const newest = same.reduce((a, b) => (b.value.header.number > a.value.header.number ? b : a)).value;
  const { chainId, header } = newest;
  for (const { rpc, value } of same) leaveOutBehind(endpoints, rpc, value.header.number, header.number);
  const by = same.filter(({ value }) => value.header.number === header.number);
  const other = by.find(({ value }) => value.header.hash !== header.hash);
  if (other !== undefined)
    throw new PimsError(
      "ledger-unverified",
      `the ledger's validators sealed two blocks ${header.number}, ${header.hash} and ${other.value.header.hash}`,
      { hint: "more than a third of them break the protocol, or their keys are stolen" },
    );
  return { chainId, header, by: by.map(({ rpc }) => rpc) };
}

/**
 * Headers do not say which chain they are of, endpoints do, and what is read later must fit (a proposal's id is made over
 * it). The word of most counts; the others are named and left out.
 */
export function ofOneChain<T extends { readonly chainId: bigint }>(endpoints: Endpoints, told: Told<T>[]): Told<T>[] {
  const chains = [...Map.groupBy(told, ({ value }) => value.chainId).values()];
  const most = chains.reduce((a, b) => (b.length > a.length ? b : a));
  for (const { rpc, value } of told)
    if (value.chainId !== most[0]!.value.chainId) {
      const text = `the chain at ${rpc.name} has number ${value.chainId}, not ${most[0]!.value.chainId} as the others`;
      endpoints.leaveOut(rpc, new PimsError("ledger-unverified", text));
    }
  return most;
}
