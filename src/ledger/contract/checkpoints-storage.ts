import { type Address, concat, type Hex, hexToBigInt, keccak256, numberToHex, padHex } from "viem";

/** Where contracts/Checkpoints.sol keeps the roots of each reporter (Solidity's storage layout; a mapping to arrays). */
const ROOTS = 0n;

/** The slot of how many checkpoints a reporter has said. */
export function countSlot(reporter: Address): Hex {
  return keccak256(concat([padHex(reporter, { size: 32 }), numberToHex(ROOTS, { size: 32 })]));
}

/** The slot of the root of one of them. Zero stands there while there is none. */
export function rootSlot(reporter: Address, number: bigint): Hex {
  const slot = BigInt.asUintN(256, hexToBigInt(keccak256(countSlot(reporter))) + number);
  return numberToHex(slot, { size: 32 });
}
