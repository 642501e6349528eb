import type { FileHandle } from "node:fs/promises";

/** Reads a file from `position` on until `into` is full or the file ends; returns how many bytes that are. */
export async function fillFrom(handle: FileHandle, into: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const { bytesRead } = await handle.read(into, filled, into.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
