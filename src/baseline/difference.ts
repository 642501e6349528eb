import { printable } from "../core/bytes.ts";
import { type ComparedMember, compareBaselines } from "./compare.ts";
import type { Baseline, BaselineEntry } from "./lines.ts";

/**
 * How a baseline differs from the one that was expected: a sentence each for header and files, none where they say the
 * same. The name does not count: it is what people call the image, and each of them may call it otherwise.
 */
export function differencesFrom(expected: Baseline, found: Baseline): string[] {
  const { header, added, removed, changed } = compareBaselines(expected, found);
  return [
    ...header
      .filter(({ member }) => member !== "name")
      .map(({ member, before, after }) => `${MEMBERS[member]} is ${shown(after)} and not ${shown(before)}`),
    ...aboutFiles("more", added),
    ...aboutFiles("less", removed),
    ...aboutFiles(
      "with other content",
      changed.map(({ after }) => after),
    ),
  ];
}

const MEMBERS: Readonly<Record<ComparedMember, string>> = {
  identity: "the image",
  name: "the name",
  architecture: "the architecture",
  entrypoint: "the entry point",
  ports: "the list of ports",
  jit: "the just-in-time allowance",
  loader: "what the loader is told",
  allowed: "the list of code that is allowed besides the image's",
};

function shown(value: unknown): string {
  return printable(typeof value === "string" ? value : JSON.stringify(value));
}

function aboutFiles(how: string, entries: readonly BaselineEntry[]): string[] {
  if (entries.length === 0) return [];
  const more = entries.length > 1 ? ` and ${entries.length - 1} more` : "";
  return [
    `${entries.length === 1 ? "a file" : `${entries.length} files`} ${how}: ${printable(entries[0]!.path)}${more}`,
  ];
}
