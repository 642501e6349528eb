import { PimsError } from "../../core/errors.ts";

/** Tag, size and command or response code (TPM 2.0 Library part 1, "Command/Response Structure"). */
export const HEADER_BYTES = 10;
/** The kernel's TPM_BUFSIZE, and what swtpm accepts: no command or response is larger. */
export const MAX_MESSAGE_BYTES = 4096;

/** How long one command may take until it counts as unanswered, unless the caller says otherwise. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Carries whole commands to a TPM and whole responses back, one at a time and each in bounded time (`inTurn` sees to
 * that). PimsError `tpm-unreachable` when there will be no response (the command may have been carried out all the same;
 * a transport never sends one twice), `tpm-malformed` when what came is not one whole response.
 */
export interface TpmTransport {
  send(command: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * Size of the response that starts with these bytes, from its header; undefined while the header is not whole.
 * PimsError `tpm-malformed` when that cannot be a response's size.
 */
export function responseSize(start: Uint8Array): number | undefined {
  if (start.length < 6) return undefined;
  const size = new DataView(start.buffer, start.byteOffset, start.byteLength).getUint32(2);
  if (size < HEADER_BYTES || size > MAX_MESSAGE_BYTES)
    throw new PimsError("tpm-malformed", `the TPM's response claims ${size} bytes`);
  return size;
}

/** True when a whole response is there. PimsError `tpm-malformed` when there is more than one. */
export function isWholeResponse(bytes: Uint8Array): boolean {
  const size = responseSize(bytes);
  if (size === undefined || bytes.length < size) return false;
  if (bytes.length > size)
    throw new PimsError("tpm-malformed", `${bytes.length - size} bytes follow the TPM's response`);
  return true;
}

/** The response code, from the header. PimsError `tpm-malformed` when there is no whole header. */
export function responseCodeOf(response: Uint8Array): number {
  if (response.length < HEADER_BYTES)
    throw new PimsError("tpm-malformed", `a response of ${response.length} bytes has no header`);
  return new DataView(response.buffer, response.byteOffset, response.byteLength).getUint32(6);
}
