import { parseTpmAddress } from "./address.ts";
import { openDevice } from "./transport/device.ts";
import { inTurn } from "./transport/in-turn.ts";
import { openSocket } from "./transport/socket.ts";
import { DEFAULT_TIMEOUT_MS, type TpmTransport } from "./transport/transport.ts";

/** An open TPM: commands are carried out one at a time, in the order of the calls. Its commands are the functions in `commands/`. */
export interface Tpm extends TpmTransport {
  readonly address: string;
}

/**
 * Opens the TPM at "device" (`/dev/tpmrm0`), "device:PATH", or "unix:PATH" or "tcp:HOST:PORT" (server socket of a
 * swtpm). `timeoutMs` bounds every command. PimsError `tpm-unreachable`, with a hint, when there is none or it may not be used.
 *
 *     const tpm = await openTpm("device");
 *     try { console.log(await pcrRead(tpm, "sha256", [13])); } finally { await tpm.close(); }
 */
export async function openTpm(address: string, options: { timeoutMs?: number } = {}): Promise<Tpm> {
  const place = parseTpmAddress(address);
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const transport = place.kind === "device" ? await openDevice(place.path) : await openSocket(place, timeoutMs);
  return { address, ...inTurn(transport, timeoutMs) };
}
