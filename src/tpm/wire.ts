import { concatBytes } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";

/**
 * Reads the TPM's canonical form: big-endian, structures back to back without padding (TPM 2.0 Library part 1, "Data
 * Marshaling"). Every read is bounds-checked; what does not fit is PimsError `tpm-malformed`, never null.
 */
export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  readonly #littleEndian: boolean;
  #offset = 0;

  /** `what` names the structure in messages. Event logs of a PC's firmware are little-endian. */
  constructor(bytes: Uint8Array, what: string, options: { littleEndian?: boolean } = {}) {
    this.#littleEndian = options.littleEndian ?? false;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2), this.#littleEndian);
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), this.#littleEndian);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), this.#littleEndian);
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.slice(start, start + length);
  }

  /** A TPM2B: a 16-bit size, then as many bytes (part 2, "TPM2B Types"). More than `maximum` is refused. */
  sized(maximum: number): Uint8Array {
    const length = this.u16();
    if (length > maximum) this.fail(`a field of ${length} bytes where at most ${maximum} are allowed`);
    return this.bytes(length);
  }

  /** A 32-bit number of elements, at most `maximum`. */
  count(maximum: number): number {
    const count = this.u32();
    if (count > maximum) this.fail(`a list of ${count} elements where at most ${maximum} are allowed`);
    return count;
  }

  /** A copy of everything that has not been read. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** Refuses trailing bytes. */
  end(): void {
    if (this.remaining > 0) this.fail(`${this.remaining} bytes too many`);
  }

  fail(problem: string): never {
    throw new PimsError("tpm-malformed", `malformed ${this.#what}: ${problem} (offset ${this.#offset})`);
  }

  #advance(length: number): number {
    if (length > this.remaining) this.fail(`it ends after ${this.#bytes.length} bytes`);
    const start = this.#offset;
    this.#offset += length;
    return start;
  }
}

/** Writes the TPM's canonical form. Every method returns the writer. */
export class WireWriter {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): this {
    return this.#number(1, (view) => view.setUint8(0, value), value, 0xff);
  }

  u16(value: number): this {
    return this.#number(2, (view) => view.setUint16(0, value), value, 0xffff);
  }

  u32(value: number): this {
    return this.#number(4, (view) => view.setUint32(0, value), value, 0xffff_ffff);
  }

  u64(value: bigint): this {
    return this.#number(8, (view) => view.setBigUint64(0, value), value, 0xffff_ffff_ffff_ffffn);
  }

  bytes(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  /** A TPM2B: a 16-bit size, then the bytes. */
  sized(bytes: Uint8Array): this {
    return this.u16(bytes.length).bytes(bytes);
  }

  done(): Uint8Array {
    return concatBytes(...this.#parts);
  }

  #number(size: number, set: (view: DataView) => void, value: number | bigint, maximum: number | bigint): this {
    // A number that is cut to fit would be a valid, different command.
    if (value < 0 || value > maximum || (typeof value === "number" && !Number.isInteger(value)))
      throw new PimsError("tpm-malformed", `${value} does not fit into ${size} bytes`);
    const bytes = new Uint8Array(size);
    set(new DataView(bytes.buffer));
    return this.bytes(bytes);
  }
}
