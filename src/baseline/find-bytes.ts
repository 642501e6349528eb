/** Looks for a short text in a file that passes by once. */
export function findBytes(text: string): { update(bytes: Uint8Array): void; readonly found: boolean } {
  const wanted = Buffer.from(text, "latin1");
  let tail = Buffer.alloc(0);
  let found = false;
  return {
    update(bytes) {
      if (found) return;
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const seam = Buffer.concat([tail, chunk.subarray(0, wanted.length - 1)]);
      found = seam.includes(wanted) || chunk.includes(wanted);
      tail = Buffer.from(Buffer.concat([tail, chunk.subarray(-(wanted.length - 1))]).subarray(-(wanted.length - 1)));
    },
    get found() {
      return found;
    },
  };
}
