import { z } from "zod";

/** Deeper than any document of an image is. */
const MAX_DEPTH = 64;

/** What a text of JSON holds, or what is wrong with it, to be read after the text's name. */
export type ReadJson = { readonly value: unknown } | { readonly wrong: string };

/**
 * Reads JSON (RFC 8259, UTF-8) that every program must understand in the same way: a key that an object has twice, of which
 * some take the first and some the last, is wrong.
 */
export function readJson(bytes: Uint8Array): ReadJson {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch {
    return { wrong: "is not JSON" };
  }
  const wrong = ambiguity(text);
  return wrong === null ? { value } : { wrong };
}

/** `text` is JSON. */
function ambiguity(text: string): string | null {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{" || character === "[") {
      if (open.push(character === "{" ? new Set() : null) > MAX_DEPTH) return "is nested too deeply";
    } else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const start = at++;
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
      if (!isBeforeColon(text, at + 1)) continue;
      const keys = open.at(-1);
      const key = JSON.parse(text.slice(start, at + 1)) as string;
      if (keys?.has(key)) return `has the key ${JSON.stringify(key.slice(0, 100))} twice in one object`;
      keys?.add(key);
    }
  }
  return null;
}

function isBeforeColon(text: string, from: number): boolean {
  let at = from;
  while (" \t\n\r".includes(text[at] ?? "-")) at++;
  return text[at] === ":";
}

/**
 * An object of which these keys are wanted, spelled just so. Go's encoding/json, by which engines read, takes a key for
 * the wanted one also where case differs (Unicode's simple folding), so such a key is wrong; others are passed over.
 */
export function exactObject<T extends z.ZodRawShape>(shape: T) {
  const wanted = new Set(Object.keys(shape));
  const folded = new Set([...wanted].map(fold));
  const isExact = (value: unknown): boolean =>
    typeof value !== "object" ||
    value === null ||
    Object.keys(value).every((key) => wanted.has(key) || !folded.has(fold(key)));
  return z.unknown().refine(isExact, "a key of it differs only in case from one that counts").pipe(z.object(shape));
}

/** Also the long s and the Kelvin sign become letters. */
function fold(text: string): string {
  return text.toLowerCase().toUpperCase();
}
