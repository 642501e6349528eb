import { PimsError } from "../../core/errors.ts";
import type { Endpoints } from "../rpc/endpoints.ts";
import type { Rpc } from "../rpc/rpc.ts";
import { type BelievedHeader, leaveOutBehind, nothingProved } from "./agree-on-header.ts";
import type { Header } from "./block-header.ts";
import { type Validators, verifyCommitSeals } from "./commit-seals.ts";
import { readHead } from "./read-header.ts";

/** How far the clocks of validators may be ahead of ours: what is of later than that was made to look new. */
export const AHEAD_MS = 60_000;

/** Validators of one chain: a header does not hold its number, and they may keep another. */
export interface ChainValidators extends Validators {
  readonly chainId: number;
}

/**
 * The newest block that the configured validators sealed and any endpoint shows (QBFT, IBFT 2.0). One endpoint is enough to
 * prove it; how new it is only its age tells. Endpoints whose newest block is not sealed are named and left out. That it is
 * of the chain with this number shows in what is read of it: a proposal's id is made over that number.
 * Throws `ledger-unreachable`, `ledger-unverified`.
 */
export async function readSealedHeader(endpoints: Endpoints, validators: ChainValidators): Promise<BelievedHeader> {
  const chainId = BigInt(validators.chainId);
  const question = async (rpc: Rpc): Promise<Header> => {
    const header = await readHead(rpc, chainId);
    await verifyCommitSeals(header, validators);
    return header;
  };
  const right = endpoints.withoutFault();
  let told = await endpoints.ask(right, 1, question);
  if (told.length === 0 && right.length < endpoints.all.length) told = await endpoints.ask(endpoints.all, 1, question);
  if (told.length === 0) throw nothingProved(endpoints, "none of the ledger's endpoints shows a sealed block");
  for (const { rpc } of told) endpoints.isRight(rpc);
  const header = told.reduce((a, b) => (b.value.number > a.value.number ? b : a)).value;
  for (const { rpc, value } of told) leaveOutBehind(endpoints, rpc, value.number, header.number);
  const by = told.filter(({ value }) => value.number === header.number);
  const other = by.find(({ value }) => value.hash !== header.hash);
  if (other !== undefined)
    throw new PimsError(
      "ledger-unverified",
      `the ledger's validators sealed two blocks ${header.number}, ${header.hash} and ${other.value.hash}`,
      { hint: "more than a third of them break the protocol, or their keys are stolen" },
    );
  const others = told.filter((one) => !by.includes(one));
  return { chainId, header, by: by.map(({ rpc }) => rpc), others: others.map(({ rpc }) => rpc) };
}
