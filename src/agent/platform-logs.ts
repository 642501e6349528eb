import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import {
  MAX_FIRMWARE_LOG_BYTES,
  MAX_IMA_BYTES,
  type PlatformEvidence,
  type PlatformWanted,
} from "../attest/platform-evidence.ts";
import { errorCode } from "../core/errors.ts";
import { wholeImaEntries } from "../tpm/event-log/ima.ts";

const FIRMWARE_LOG = "/sys/kernel/security/tpm0/binary_bios_measurements";
const IMA_LIST = "/sys/kernel/security/ima/binary_runtime_measurements";

/** Reads from the kernel what leads to the registers below the agent. */
export class PlatformLogs {
  readonly #firmwareLog: string;
  readonly #imaList: string;
  /** An entry of the list, and where it begins: the kernel only adds to it. */
  #known = { entry: 0, byte: 0 };

  constructor(paths: { firmwareLog?: string; imaList?: string } = {}) {
    this.#firmwareLog = paths.firmwareLog ?? FIRMWARE_LOG;
    this.#imaList = paths.imaList ?? IMA_LIST;
  }

  /** What the verifier lacks. A file that is not there is told as null: this host has no such link. */
  async read(wanted: PlatformWanted): Promise<Pick<PlatformEvidence, "firmwareLog" | "ima">> {
    const firmwareLog = wanted.firmwareLog ? { firmwareLog: await this.#readFirmwareLog() } : {};
    return { ...firmwareLog, ima: await this.#readIma(wanted.imaFrom) };
  }

  async #readFirmwareLog(): Promise<string | null> {
    return withFile(this.#firmwareLog, async (file) => {
      const bytes = await readFrom(file, 0, MAX_FIRMWARE_LOG_BYTES + 1);
      // No real firmware writes so much, and the verifier would refuse it.
      return bytes.length > MAX_FIRMWARE_LOG_BYTES ? null : Buffer.from(bytes).toString("base64");
    });
  }

  /** A verifier that knows more entries than there are knows another boot's: it is given the list from the beginning. */
  async #readIma(from: number): Promise<PlatformEvidence["ima"]> {
    return withFile(this.#imaList, async (file) => {
      if (from < this.#known.entry) this.#known = { entry: 0, byte: 0 };
      while (this.#known.entry < from) {
        const bytes = await readFrom(file, this.#known.byte, MAX_IMA_BYTES);
        const whole = wholeImaEntries(bytes, bytes.length, from - this.#known.entry);
        if (whole.entries === 0) {
          this.#known = { entry: 0, byte: 0 };
          break;
        }
        this.#known = { entry: this.#known.entry + whole.entries, byte: this.#known.byte + whole.bytes };
      }
      const bytes = await readFrom(file, this.#known.byte, MAX_IMA_BYTES);
      const { bytes: length } = wholeImaEntries(bytes, bytes.length);
      return { from: this.#known.entry, entries: Buffer.from(bytes.subarray(0, length)).toString("base64") };
    });
  }
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T | null> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return null;
    throw error;
  }
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Files of the kernel have no size, and give less than is asked for before they end. */
async function readFrom(file: FileHandle, position: number, maximum: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let length = 0; length < maximum; ) {
    const buffer = new Uint8Array(Math.min(256 * 1024, maximum - length));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position + length);
    if (bytesRead === 0) break;
    parts.push(buffer.subarray(0, bytesRead));
    length += bytesRead;
  }
  return new Uint8Array(Buffer.concat(parts));
}
