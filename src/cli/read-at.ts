import { rfc3339 } from "../core/clock.ts";
import { LAST_SECOND } from "../ledger/contract/baseline-end.ts";
import type { ReadAt } from "../ledger/proved-contract.ts";
import { EXIT, say } from "./output.ts";

/** Tells at which block the ledger was read, and by how many endpoints' word it is the chain's. */
export function sayReadAt({ block, agreed, endpoints, isSealed }: ReadAt): void {
  const who = isSealed
    ? "which the chain's validators sealed"
    : endpoints === 1
      ? "on the word of one endpoint only: --witness names others that must agree"
      : `which ${agreed} of ${endpoints} endpoints have`;
  const ageS = Math.max(0, Math.round(Date.now() / 1000 - Number(block.timestamp)));
  say(`pims: proved at block ${block.number} (${block.hash.slice(0, 10)}, ${ageS} s old), ${who}`);
}

/** The same for programs; null where nothing is proved yet. */
export function readAtJson(at: ReadAt | null): object | null {
  if (at === null) return null;
  const { block, agreed, endpoints, isSealed } = at;
  const time = block.timestamp > LAST_SECOND ? null : rfc3339(Number(block.timestamp) * 1000);
  return { block: Number(block.number), hash: block.hash, time, agreed, endpoints, sealed: isSealed };
}

/** How a command ends that sent something: shown by proved state, or only said by the endpoint that took it. */
export function sayWhetherShown(at: ReadAt | null): number {
  if (at !== null) {
    sayReadAt(at);
    return EXIT.good;
  }
  say("pims: sent, and an endpoint says that the chain took it; what is proved does not show it yet: look again later");
  return EXIT.undetermined;
}
