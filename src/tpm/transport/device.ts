import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { concatBytes } from "../../core/bytes.ts";
import { errorCode, PimsError } from "../../core/errors.ts";
import { isWholeResponse, MAX_MESSAGE_BYTES, type TpmTransport } from "./transport.ts";

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: "use a machine with a TPM 2.0, or a software TPM with an address like unix:/run/swtpm/tpm.sock",
  EACCES: "run as root or as a member of the device's group",
  EPERM: "run as root or as a member of the device's group",
  EBUSY: "use /dev/tpmrm0, which several programs can have open",
};

/**
 * A character device of the kernel: one write is a command, the next read its response. Through `/dev/tpmrm0` what was
 * loaded belongs to the open descriptor and goes with it, so the descriptor is held. How long an answer may take is
 * `inTurn`'s to say: one that comes late is read all the same, and the device is in step again.
 */
export async function openDevice(path: string): Promise<TpmTransport> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDWR | constants.O_NOCTTY);
  } catch (cause) {
    const code = errorCode(cause) ?? "";
    const hint = HINTS[code];
    const message = code === "ENOENT" ? `there is no TPM at ${path}` : `the TPM ${path} cannot be opened (${code})`;
    throw new PimsError("tpm-unreachable", message, { cause, ...(hint === undefined ? {} : { hint }) });
  }
  let broken = false;
  let busy = false;
  return {
    async send(command) {
      // What the device says after a failed or misread command could be taken for the answer to the next.
      if (broken) throw new PimsError("tpm-unreachable", `the TPM ${path} did not answer an earlier command`);
      busy = true;
      try {
        return await writeThenRead(file, command, path);
      } catch (error) {
        broken = true;
        throw error;
      } finally {
        busy = false;
      }
    },
    close: async () => {
      // Closing waits for a read in progress, which would have no bound.
      if (busy) void file.close().catch(() => {});
      else await file.close();
    },
  };
}

async function writeThenRead(file: FileHandle, command: Uint8Array, path: string): Promise<Uint8Array> {
  try {
    const { bytesWritten } = await file.write(command);
    if (bytesWritten !== command.length)
      throw new PimsError("tpm-unreachable", `the TPM ${path} took ${bytesWritten} of ${command.length} bytes`);
    let response: Uint8Array = new Uint8Array(0);
    do {
      const { bytesRead, buffer } = await file.read(new Uint8Array(MAX_MESSAGE_BYTES + 1), 0, MAX_MESSAGE_BYTES + 1);
      if (bytesRead === 0)
        throw new PimsError("tpm-malformed", `the response of the TPM ${path} ends after ${response.length} bytes`);
      response = concatBytes(response, buffer.subarray(0, bytesRead));
    } while (!isWholeResponse(response));
    return response;
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    throw new PimsError("tpm-unreachable", `the TPM ${path} failed (${errorCode(cause)})`, { cause });
  }
}
