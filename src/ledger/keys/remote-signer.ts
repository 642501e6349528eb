import {
  type Address,
  type Hex,
  numberToHex,
  parseTransaction,
  recoverTransactionAddress,
  type TransactionSerialized,
} from "viem";
import { z } from "zod";
import { PimsError } from "../../core/errors.ts";
import { parseAddress } from "../contract/address.ts";
import { openRpc, type Rpc } from "../rpc/rpc.ts";
import type { LedgerKey, Transaction } from "./keys.ts";

/** A person may have to confirm at the signer. */
const TIMEOUT_MS = 120_000;

const rawSchema = z.string().regex(/^0x([0-9a-f]{2})+$/);
/** Signers of the go-ethereum line answer with an object, others with the transaction alone. */
const resultSchema = z.union([rawSchema, z.object({ raw: rawSchema }).transform(({ raw }) => raw)]);

/**
 * A key that lives elsewhere, in a program that signs on request by JSON-RPC (`eth_signTransaction`), such as clef or a
 * front of a hardware module. Nothing but the very transaction that was asked for, signed by `from`, is taken from it.
 * Its methods throw `signer-refused` and `signer-unreachable`. Throws `address-malformed`, `signer-unreachable`.
 */
export function openRemoteSigner(url: string, from: string, timeoutMs: number = TIMEOUT_MS): LedgerKey {
  const address = parseAddress(from);
  const rpc = openSigner(url, timeoutMs);
  return {
    address,
    async signTransaction(transaction) {
      const answer = await rpc
        .request("eth_signTransaction", [asRequest(address, transaction)])
        .catch((error: unknown) => {
          throw unreachable(new URL(url).host, "gives no usable answer", error);
        });
      if ("error" in answer) throw refused(url, `refused: ${answer.error.message}`);
      const parsed = resultSchema.safeParse(answer.result);
      if (!parsed.success) throw refused(url, "did not answer with a signed transaction");
      const raw = parsed.data as Hex;
      if (!(await isWhatWasAsked(raw, transaction, address)))
        throw refused(url, `signed something else than it was asked, or not by the key of ${address}`);
      return raw;
    },
  };
}

/** A name and password in the address would be in messages. */
function openSigner(url: string, timeoutMs: number): Rpc {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.password !== "")
    throw unreachable("this address", "cannot be asked, an http or https address without name and password is needed");
  return openRpc(url, timeoutMs);
}

function asRequest(from: Address, { to, data, nonce, gas, gasPrice, chainId }: Transaction): object {
  return {
    ...{ from, ...(to == null ? {} : { to }), data: data ?? "0x", value: "0x0", nonce: numberToHex(nonce ?? 0) },
    ...{ gas: numberToHex(gas ?? 0n), gasPrice: numberToHex(gasPrice ?? 0n), chainId: numberToHex(chainId ?? 0) },
  };
}

async function isWhatWasAsked(raw: Hex, asked: Transaction, address: Address): Promise<boolean> {
  try {
    const signed = parseTransaction(raw);
    const same =
      signed.type === "legacy" &&
      signed.chainId === asked.chainId &&
      (signed.nonce ?? 0) === asked.nonce &&
      (signed.gas ?? 0n) === asked.gas &&
      (signed.gasPrice ?? 0n) === asked.gasPrice &&
      (signed.value ?? 0n) === 0n &&
      (signed.to ?? null)?.toLowerCase() === (asked.to ?? null)?.toLowerCase() &&
      (signed.data ?? "0x") === (asked.data ?? "0x");
    return (
      same && (await recoverTransactionAddress({ serializedTransaction: raw as TransactionSerialized })) === address
    );
  } catch {
    // viem throws many kinds of errors at what is no transaction.
    return false;
  }
}

function unreachable(where: string, what: string, cause?: unknown): PimsError {
  return new PimsError("signer-unreachable", `the signer at ${where} ${what}`, {
    hint: "start it, or give another one with --signer",
    cause,
  });
}

function refused(url: string, what: string): PimsError {
  return new PimsError("signer-refused", `the signer at ${new URL(url).host} ${what}`);
}
