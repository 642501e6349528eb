import { type Address, getAddress, isAddress } from "viem";
import { printable } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";

/** Addresses as the registry takes them: any order of them is one motion. Throws `address-malformed`. */
export function inRisingOrder(addresses: readonly string[]): Address[] {
  return addresses.map(parseAddress).sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
}

/** Throws `address-malformed`. */
export function parseAddress(text: string): Address {
  if (isAddress(text, { strict: false })) return getAddress(text);
  throw new PimsError("address-malformed", `${printable(text.slice(0, 100))} is not an address`, {
    hint: "an address is 0x followed by 40 hexadecimal digits",
  });
}
