// What a source file can say to a person: to find checks that nobody has tried.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** A sentence of a source file, `{}` for each part that is put in, and what it looks like when it is said. */
export interface Sentence {
  readonly file: string;
  readonly text: string;
  readonly said: RegExp;
}

/** Three words at least, in a string or template that is no hint. */
export function sentencesOf(file: string): Sentence[] {
  const source = readFileSync(join(root, file), "utf8");
  return literalsOf(source)
    .filter(({ before, text }) => text.split(" ").length > 2 && !/\bhint(:| =)\s*$/.test(before))
    .map(({ text }) => ({ file, text, said: new RegExp(text.split("{}").map(escaped).join(".*"), "s") }));
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Strings and templates outside of comments, with what stands before each in its line or the line above. */
function literalsOf(source: string): { before: string; text: string }[] {
  const literals: { before: string; text: string }[] = [];
  for (let at = 0; at < source.length; at++) {
    if (source.startsWith("//", at)) at = ends(source, "\n", at);
    else if (source.startsWith("/*", at)) at = ends(source, "*/", at);
    else if (source[at] === "/" && /[=(,[:!&|?]\s*$/.test(source.slice(Math.max(0, at - 20), at)))
      at = afterRegex(source, at);
    else if (source[at] === '"' || source[at] === "`") {
      const before = source.slice(Math.max(0, at - 40), at);
      const { text, end } = literalAt(source, at);
      literals.push({ before, text });
      at = end;
    }
  }
  return literals;
}

function ends(source: string, mark: string, from: number): number {
  const end = source.indexOf(mark, from);
  return end < 0 ? source.length : end + mark.length - 1;
}

/** The slash that ends the regular expression at `start`. */
function afterRegex(source: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "[") inClass = true;
    else if (source[at] === "]") inClass = false;
    else if (source[at] === "/" && !inClass) return at;
  }
  return source.length;
}

function literalAt(source: string, start: number): { text: string; end: number } {
  let text = "";
  for (let at = start + 1; at < source.length; at++) {
    if (source[at] === source[start]) return { text, end: at };
    if (source[start] === "`" && source.startsWith("${", at)) {
      at = closing(source, at + 1);
      text += "{}";
    } else if (source[at] === "\\") text += source[++at];
    else text += source[at];
  }
  return { text, end: source.length };
}

/** The brace that closes the one at `open`; strings in between are passed over. */
function closing(source: string, open: number): number {
  let depth = 0;
  for (let at = open; at < source.length; at++) {
    if (source[at] === '"' || source[at] === "`") at = literalAt(source, at).end;
    else if (source[at] === "{") depth++;
    else if (source[at] === "}" && --depth === 0) return at;
  }
  return source.length;
}
