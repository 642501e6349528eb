import { PimsError } from "./errors.ts";

/** Lower-case hexadecimal, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** Bytes of a hexadecimal string. Throws `bad-hex` when it has an odd length or a foreign character. */
export function fromHex(hex: string): Uint8Array {
  if (hex.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(hex)) throw new PimsError("bad-hex", "not a hexadecimal string");
  return new Uint8Array(Buffer.from(hex, "hex"));
}

export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A path or an argument as JSON carries it: a string, or its bytes in hexadecimal when they are not valid UTF-8. */
export type JsonText = string | { hex: string };

const MAX_BRIEF = 160;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function toJsonText(bytes: Uint8Array): JsonText {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return { hex: toHex(bytes) };
  }
}

/** The bytes that `toJsonText` was given. */
export function jsonTextBytes(text: JsonText): Uint8Array {
  return typeof text === "string" ? new Uint8Array(Buffer.from(text, "utf8")) : fromHex(text.hex);
}

/** `printable`, cut so that a sentence stays one. The whole text stands where the sentence's facts are listed. */
export function brief(text: JsonText): string {
  const shown = printable(text);
  return shown.length <= MAX_BRIEF ? shown : `${shown.slice(0, MAX_BRIEF)}…`;
}

/**
 * For a person's terminal: control and bidirectional characters are escaped, so that a file name chosen inside a
 * container cannot write to the operator's screen.
 */
export function printable(text: JsonText): string {
  const plain = typeof text === "string" ? text : `hex:${text.hex}`;
  return plain.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
