import { type Address, encodeFunctionData, type Hex, hexToBigInt, keccak256, pad } from "viem";
import { PimsError } from "../core/errors.ts";
import { hostRegistryAbi as abi } from "./contract/host-registry-abi.ts";
import { mappedSlot, split } from "./contract/registry-storage.ts";
import type { LedgerKey } from "./keys/keys.ts";
import { type ProvedContract, sendTo } from "./proved-contract.ts";

/** As many names as one transaction takes: some 50 000 units of gas each, of the 30 million that are sent at most. */
const BATCH = 200;

export interface HostChange {
  /** The registrar's: what it writes stands below its own address. */
  key: LedgerKey;
  /** TPM names of attestation keys, hexadecimal: hash algorithm and digest. */
  names: readonly string[];
}

/** Says that these keys are enrolled. Throws `ak-name-malformed`, `ledger-refused` (for a revoked one), `ledger-unreachable`. */
export function recordEnrolled(contract: ProvedContract, change: HostChange) {
  return record(contract, change, "enroll");
}

/** Says that these keys are revoked, for good. Throws `ak-name-malformed`, `ledger-refused`, `ledger-unreachable`. */
export function recordRevoked(contract: ProvedContract, change: HostChange) {
  return record(contract, change, "revoke");
}

async function record(
  contract: ProvedContract,
  { key, names }: HostChange,
  functionName: "enroll" | "revoke",
): Promise<{ transactions: number; gas: bigint }> {
  const all = names.map(nameBytes);
  let [transactions, gas] = [0, 0n];
  for (let at = 0; at < all.length; at += BATCH) {
    const data = encodeFunctionData({ abi, functionName, args: [all.slice(at, at + BATCH)] });
    gas += (await sendTo(contract, key, data)).gasUsed;
    transactions++;
  }
  return { transactions, gas };
}

/** When a registrar enrolled and revoked a key, seconds since 1970 UTC; null: never. */
export interface RecordedHost {
  readonly enrolledAt: bigint | null;
  readonly revokedAt: bigint | null;
}

/** What a registrar recorded of keys, in the order of their names. Throws `ak-name-malformed`, `ledger-unverified`. */
export async function readHosts(
  contract: ProvedContract,
  registrar: Address,
  names: readonly string[],
): Promise<RecordedHost[]> {
  const words = await contract.words(names.map((name) => hostSlot(registrar, nameBytes(name))));
  return words.map((word) => {
    const [enrolledAt, revokedAt] = split(word, [64, 64]);
    return { enrolledAt: enrolledAt || null, revokedAt: revokedAt || null };
  });
}

/** In slot 0 of contracts/HostRegistry.sol an address and the hash of a name lead to a word with both times. */
function hostSlot(registrar: Address, name: Hex): Hex {
  return mappedSlot(keccak256(name), hexToBigInt(mappedSlot(pad(registrar), 0n)));
}

function nameBytes(name: string): Hex {
  if (/^([0-9a-f]{68}|[0-9a-f]{100}|[0-9a-f]{132})$/.test(name)) return `0x${name}`;
  throw new PimsError("ak-name-malformed", "a key's name is 68, 100 or 132 hexadecimal digits", {
    hint: "pims tpm info on the host shows it",
  });
}
