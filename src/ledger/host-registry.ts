import { type Address, decodeFunctionResult, encodeFunctionData, type Hex } from "viem";
import { PimsError } from "../core/errors.ts";
import { type Contract, type ContractPlace, callContract, openContract } from "./contract.ts";
import { hostRegistryAbi as abi } from "./host-registry-abi.ts";
import type { LedgerKey } from "./keys.ts";
import { garbage } from "./rpc.ts";
import { sendTransaction } from "./send.ts";

/** As many names as one transaction takes: some 50 000 units of gas each, of the 30 million that are sent at most. */
const BATCH = 200;

export interface HostChange extends ContractPlace {
  /** The registrar's: what it writes stands below its own address. */
  key: LedgerKey;
  /** TPM names of attestation keys, hexadecimal: hash algorithm and digest. */
  names: readonly string[];
}

/** Says that these keys are enrolled. Throws `ak-name-malformed`, `ledger-refused` (for a revoked one), `ledger-unreachable`. */
export function recordEnrolled(change: HostChange): Promise<{ transactions: number; gas: bigint }> {
  return record(change, "enroll");
}

/** Says that these keys are revoked, for good. Throws `ak-name-malformed`, `ledger-refused`, `ledger-unreachable`. */
export function recordRevoked(change: HostChange): Promise<{ transactions: number; gas: bigint }> {
  return record(change, "revoke");
}

async function record({ key, names, ...place }: HostChange, functionName: "enroll" | "revoke") {
  const all = names.map(nameBytes);
  const contract = await openContract("HostRegistry", place);
  let [transactions, gas] = [0, 0n];
  for (let at = 0; at < all.length; at += BATCH) {
    const data = encodeFunctionData({ abi, functionName, args: [all.slice(at, at + BATCH)] });
    gas += (await sendTransaction(contract.rpc, contract.chainId, key, { to: contract.address, data })).gasUsed;
    transactions++;
  }
  return { transactions, gas };
}

/** When a registrar enrolled and revoked a key, seconds since 1970 UTC; null: never. By the endpoint's word. */
export async function readHost(
  place: ContractPlace,
  registrar: Address,
  name: string,
): Promise<{ enrolledAt: bigint | null; revokedAt: bigint | null }> {
  const contract: Contract = await openContract("HostRegistry", place);
  const args = [registrar, nameBytes(name)] as const;
  const data = await callContract(contract, encodeFunctionData({ abi, functionName: "hostOf", args }));
  try {
    const { enrolledAt, revokedAt } = decodeFunctionResult({ abi, functionName: "hostOf", data });
    return { enrolledAt: enrolledAt === 0n ? null : enrolledAt, revokedAt: revokedAt === 0n ? null : revokedAt };
  } catch (error) {
    throw garbage(place.url, "malformed result of a call", error);
  }
}

function nameBytes(name: string): Hex {
  if (/^([0-9a-f]{68}|[0-9a-f]{100}|[0-9a-f]{132})$/.test(name)) return `0x${name}`;
  throw new PimsError("ak-name-malformed", "a key's name is 68, 100 or 132 hexadecimal digits", {
    hint: "pims tpm info on the host shows it",
  });
}
