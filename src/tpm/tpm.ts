import { parseTpmAddress } from "./address.ts";
import { openDevice } from "./transport/device.ts";
import { openSocket } from "./transport/socket.ts";
import { DEFAULT_TIMEOUT_MS, type TpmTransport } from "./transport/transport.ts";

/** An open TPM. Its commands are the functions in `commands/`. */
export interface Tpm extends TpmTransport {
  readonly address: string;
}

/**
 * Opens the TPM at "device" (`/dev/tpmrm0`), "device:PATH" or "unix:PATH" (server socket of a swtpm). `timeoutMs` bounds
 * every command. PimsError `tpm-unreachable`, with a hint, when there is none or it may not be used.
 *
 *     const tpm = await openTpm("device");
 *     try { console.log(await pcrRead(tpm, "sha256", [13])); } finally { await tpm.close(); }
 */
export async function openTpm(address: string, options: { timeoutMs?: number } = {}): Promise<Tpm> {
  const { kind, path } = parseTpmAddress(address);
  const open = kind === "device" ? openDevice : openSocket;
  const transport = await open(path, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  return { address, send: transport.send, close: transport.close };
}
