import type { Hex } from "viem";
import { printable } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";

export const zeroHash: Hex = `0x${"0".repeat(64)}`;

/** An identity (`sha256:` and 64 digits) as the contract has it. Throws `identity-malformed`. */
export function identityToHash(identity: string): Hex {
  const digits = /^sha256:([0-9a-f]{64})$/.exec(identity)?.[1];
  if (digits !== undefined) return `0x${digits}`;
  throw new PimsError("identity-malformed", `${printable(identity.slice(0, 200))} is not an image's identity`, {
    hint: "an identity is sha256: followed by 64 hexadecimal digits",
  });
}

export function hashToIdentity(hash: Hex): string {
  return `sha256:${hash.slice(2)}`;
}

/** A proposal's id as a person gives it. Throws `proposal-malformed`. */
export function parseProposalId(text: string): Hex {
  if (/^0x[0-9a-f]{64}$/.test(text)) return text as Hex;
  throw new PimsError("proposal-malformed", `${printable(text.slice(0, 200))} is not the id of a proposal`, {
    hint: "an id is 0x followed by 64 hexadecimal digits, as pims baseline publish prints it",
  });
}
