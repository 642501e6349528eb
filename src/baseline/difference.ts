import { printable } from "../core/bytes.ts";
import { type Baseline, type BaselineEntry, formatHeader } from "./lines.ts";
import { pathKey } from "./lookup.ts";

/**
 * How a baseline differs from the one that was expected: a sentence each for header and files, none where they say the
 * same. The name does not count: it is what people call the image, and each of them may call it otherwise.
 */
export function differencesFrom(expected: Baseline, found: Baseline): string[] {
  const differences: string[] = [];
  for (const member of ["identity", "architecture", "ports", "entrypoint", "jit"] as const) {
    const [wanted, given] = [shown(expected.header[member]), shown(found.header[member])];
    if (wanted !== given) differences.push(`${MEMBERS[member]} is ${given} and not ${wanted}`);
  }
  const renamed = formatHeader({ ...expected.header, name: found.header.name });
  if (differences.length === 0 && renamed !== found.lines[0] && expected.entries.length === found.entries.length)
    differences.push("the header is another one");
  const wanted = byPath(expected);
  const given = byPath(found);
  const added = [...given].filter(([path]) => !wanted.has(path)).map(([, { path }]) => path);
  const missing = [...wanted].filter(([path]) => !given.has(path)).map(([, { path }]) => path);
  const changed = [...given].filter(([path, { line }]) => wanted.has(path) && wanted.get(path)!.line !== line);
  differences.push(...aboutFiles("more", added), ...aboutFiles("less", missing));
  differences.push(
    ...aboutFiles(
      "with other content",
      changed.map(([, { path }]) => path),
    ),
  );
  return differences;
}

const MEMBERS = {
  identity: "the image",
  architecture: "the architecture",
  ports: "the list of ports",
  entrypoint: "the entry point",
  jit: "the just-in-time allowance",
};

function shown(value: string | readonly unknown[]): string {
  return typeof value === "string" ? printable(value) : printable(JSON.stringify(value));
}

function byPath({ entries, lines }: Baseline): Map<string, { path: BaselineEntry["path"]; line: string }> {
  return new Map(entries.map(({ path }, index) => [pathKey(path), { path, line: lines[index + 1]! }]));
}

function aboutFiles(how: string, paths: readonly BaselineEntry["path"][]): string[] {
  if (paths.length === 0) return [];
  const more = paths.length > 1 ? ` and ${paths.length - 1} more` : "";
  return [`${paths.length === 1 ? "a file" : `${paths.length} files`} ${how}: ${printable(paths[0]!)}${more}`];
}
