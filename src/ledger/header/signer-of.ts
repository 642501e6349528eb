import { type Hex, recoverAddress } from "viem";

/**
 * Whose signature this is: 65 bytes, r, s and 0 or 1, over a hash. In lower case; null for what is none. The twin with the
 * larger s, which anybody can make of a signature, is the same signer's: validators' software takes it in a seal, so a
 * reader that did not would lose the chain. Count signers, never signatures.
 */
export async function signerOf(hash: Hex, seal: Hex): Promise<Hex | null> {
  if (seal.length !== 132 || !/0[01]$/.test(seal)) return null;
  try {
    return (await recoverAddress({ hash, signature: seal })).toLowerCase() as Hex;
  } catch {
    return null;
  }
}
