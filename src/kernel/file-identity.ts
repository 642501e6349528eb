import { fixedBuffer, statx } from "./libc.ts";

const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_INO = 0x100;
const BUFFER_BYTES = 256;
const buffer = fixedBuffer(BUFFER_BYTES);

/**
 * `major:minor` and inode of the file that a descriptor holds (statx(2)), `device:inode`; null when the kernel does not
 * tell. From what the kernel knows, so that a file system that does not answer is not asked and this cannot stall.
 */
export function fileIdentity(descriptor: number): string | null {
  const status = statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, buffer.pointer);
  if (status !== 0 || (buffer.view.getUint32(0, true) & STATX_INO) === 0) return null;
  const [major, minor] = [buffer.view.getUint32(136, true), buffer.view.getUint32(140, true)];
  return `${major}:${minor}:${buffer.view.getBigUint64(32, true)}`;
}
