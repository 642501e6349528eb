import { PimsError } from "../../core/errors.ts";
import { type BftKind, istanbulDigest, parseBftExtra } from "./bft-extra.ts";
import { type Header, hashWithExtra } from "./block-header.ts";
import { signerOf } from "./signer-of.ts";

/** Whose seals prove a header: the set is the reader's own, not what a header says. */
export interface Validators {
  readonly kind: BftKind;
  /** Each once. */
  readonly addresses: readonly string[];
}

/** Bound of validators and of seals: recovering a signer costs a millisecond. */
export const maxValidators = 256;

/** How many of n validators must have sealed a block: two thirds, rounded up (EEA QBFT specification, `quorum`). */
export const quorumOf = (n: number): number => Math.ceil((2 * n) / 3);

/**
 * Proves that enough of the configured validators committed to a header (QBFT and IBFT 2.0): distinct signers of the header
 * without its seals. Which validators the header names does not matter, nor what else stands among its seals.
 * Throws `ledger-unverified`.
 */
export async function verifyCommitSeals(header: Header, { kind, addresses }: Validators): Promise<void> {
  const extra = header.mixHash === istanbulDigest ? parseBftExtra(header.extraData) : null;
  if (extra?.kind !== kind) throw unsealed(header, `its extra data is not that of ${nameOf[kind]}`);
  if (extra.seals.length > maxValidators) throw unsealed(header, `it has more than ${maxValidators} seals`);
  const signed = hashWithExtra(header, extra.signed);
  const known = new Set(addresses.map((address) => address.toLowerCase()));
  const quorum = quorumOf(known.size);
  const sealers = new Set<string>();
  for (const seal of extra.seals) {
    const signer = await signerOf(signed, seal);
    if (signer !== null && known.has(signer)) sealers.add(signer);
    if (sealers.size >= quorum) return;
  }
  const isSame = extra.validators.length === known.size && extra.validators.every((address) => known.has(address));
  const others = isSame ? "" : `, and it names other validators: ${extra.validators.slice(0, 8).join(", ")}`;
  throw unsealed(header, `${sealers.size} of ${known.size} validators sealed it, ${quorum} must${others}`);
}

const nameOf: Record<BftKind, string> = { qbft: "QBFT", ibft2: "IBFT 2.0" };

function unsealed({ number, hash }: Header, why: string): PimsError {
  return new PimsError("ledger-unverified", `block ${number} (${hash}) is not proved by seals: ${why}`, {
    hint: "compare 'ledger.validators' with the chain's own, and ask who keeps the endpoint",
  });
}
