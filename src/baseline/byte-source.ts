import { PimsError } from "../core/errors.ts";

/** A stream of bytes that is read in pieces of the reader's choice. */
export interface ByteSource {
  /** Exactly `length` bytes, or fewer only where the stream ends. `length` is the caller's to bound. */
  take(length: number): Promise<Uint8Array>;
  /** The next bytes, at least one and at most `most`; undefined at the end. */
  next(most: number): Promise<Uint8Array | undefined>;
  /** Ends the stream, wherever it is. */
  close(): Promise<void>;
}

/** `onBytes` sees all that comes in, in order, before anybody takes it. */
export function byteSource(stream: AsyncIterable<unknown>, onBytes?: (bytes: Uint8Array) => void): ByteSource {
  const iterator = stream[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array(0);

  async function next(most: number): Promise<Uint8Array | undefined> {
    while (chunk.length === 0) {
      const { done, value } = await iterator.next();
      if (done) return undefined;
      if (!(value instanceof Uint8Array)) throw new PimsError("image-malformed", "the image is no stream of bytes");
      onBytes?.(value);
      chunk = value;
    }
    const piece = chunk.subarray(0, most);
    chunk = chunk.subarray(piece.length);
    return piece;
  }

  async function take(length: number): Promise<Uint8Array> {
    const first = await next(length);
    if (first === undefined || first.length === length) return first ?? new Uint8Array(0);
    const pieces = [first];
    for (let missing = length - first.length; missing > 0; ) {
      const piece = await next(missing);
      if (piece === undefined) break;
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  return {
    take,
    next,
    async close() {
      await iterator.return?.();
    },
  };
}
