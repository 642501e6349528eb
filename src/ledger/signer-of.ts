import { type Hex, hexToBigInt, recoverAddress } from "viem";

/** Half the order of secp256k1: every signature has a twin with the larger s (EIP-2, Homestead). */
const HALF = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

/**
 * Whose signature this is: 65 bytes, r, s and 0 or 1, over a hash. In lower case; null for what is none, and for the
 * twin of a signature, which anybody can make of it.
 */
export async function signerOf(hash: Hex, seal: Hex): Promise<Hex | null> {
  if (seal.length !== 132 || !/0[01]$/.test(seal)) return null;
  if (hexToBigInt(`0x${seal.slice(66, 130)}`) > HALF) return null;
  try {
    return (await recoverAddress({ hash, signature: seal })).toLowerCase() as Hex;
  } catch {
    return null;
  }
}
