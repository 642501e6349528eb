import type { Command } from "commander";
import { PimsError } from "../core/errors.ts";
import { type LedgerKey, readKeyFile, readPassphraseFile } from "../ledger/keys/keys.ts";
import { openRemoteSigner } from "../ledger/keys/remote-signer.ts";
import { askPassphrase } from "./passphrase.ts";

/** Whose key signs: one in an encrypted file, or one that a remote signer keeps. */
export interface SigningOptions {
  key?: string;
  passphraseFile?: string;
  signer?: string;
  from?: string;
}

/** `only`: what has to be given for a key to be needed, such as `with --set: `. */
export function withSigningKey(command: Command, whose: string, only = ""): Command {
  return command
    .option("--key <file>", `${only}${whose}, an encrypted key file`)
    .option("--passphrase-file <file>", "its passphrase; asked for on the terminal by default")
    .option(
      "--signer <url>",
      `${only}instead of --key, a remote signer that keeps ${whose} (JSON-RPC eth_signTransaction)`,
    )
    .option("--from <address>", "with --signer: the address of the key");
}

export async function signingKey({ key, passphraseFile, signer, from }: SigningOptions): Promise<LedgerKey> {
  if ((key === undefined) === (signer === undefined))
    throw new PimsError("usage", "give the key that signs: --key FILE, or --signer URL with --from ADDRESS");
  if (signer !== undefined) {
    if (from === undefined) throw new PimsError("usage", "--signer needs --from, the address of the key that it keeps");
    return openRemoteSigner(signer, from);
  }
  return readKeyFile(key!, () =>
    passphraseFile === undefined ? askPassphrase(`Passphrase of ${key}: `) : readPassphraseFile(passphraseFile),
  );
}
