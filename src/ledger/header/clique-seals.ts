import type { Hex } from "viem";
import { PimsError } from "../../core/errors.ts";
import type { Header } from "./block-header.ts";
import { cliqueSigner } from "./clique-snapshot.ts";

/** That the second of two headers is of the block after the first. */
export function followsOn(parent: Header, header: Header): boolean {
  return header.parentHash === parent.hash && header.number === parent.number + 1n;
}

/**
 * Proves that more than half of these signers of a Clique chain (EIP-225) signed a block or one above it, with nothing but
 * those headers. The set is the reader's own: of a chain that has voted for others since, it proves nothing.
 * Throws `ledger-unverified`.
 */
export async function verifyCliqueSeals(
  header: Header,
  above: readonly Header[],
  addresses: readonly string[],
): Promise<void> {
  const known = new Set(addresses.map((address) => address.toLowerCase()));
  const sealers = new Set<Hex>();
  let last: Header | undefined;
  for (const one of [header, ...above]) {
    if (last !== undefined && !followsOn(last, one))
      throw unsealed(header, `block ${one.number} does not follow on it`);
    const signer = await cliqueSigner(one);
    if (signer === null) throw unsealed(header, `block ${one.number} has no signer`);
    if (!known.has(signer)) throw unsealed(header, `block ${one.number} is signed by ${signer}, who is none of them`);
    sealers.add(signer);
    if (2 * sealers.size > known.size) return;
    last = one;
  }
  throw unsealed(header, `${sealers.size} of ${known.size} signers signed it or a block above, more than half must`);
}

function unsealed({ number, hash }: Header, why: string): PimsError {
  return new PimsError("ledger-unverified", `block ${number} (${hash}) is not proved by seals: ${why}`);
}
