import type { Baseline, BaselineEntry, BaselineHeader } from "./lines.ts";
import { pathKey } from "./lookup.ts";

/** Members of the header that say something of the image, in the order in which they are shown. */
export const COMPARED = [
  "identity",
  "name",
  "architecture",
  "ports",
  "entrypoint",
  "jit",
  "loader",
  "allowed",
] as const satisfies readonly (keyof BaselineHeader)[];

export type ComparedMember = (typeof COMPARED)[number];

export interface BaselineChanges {
  readonly header: readonly { readonly member: ComparedMember; readonly before: unknown; readonly after: unknown }[];
  readonly added: readonly BaselineEntry[];
  readonly removed: readonly BaselineEntry[];
  /** Of the same path. */
  readonly changed: readonly { readonly before: BaselineEntry; readonly after: BaselineEntry }[];
  /** Entries that are the same in both. */
  readonly same: number;
}

/** What one baseline says otherwise than another, entries in rising order of path bytes. */
export function compareBaselines(before: Baseline, after: Baseline): BaselineChanges {
  const old = byPath(before);
  const now = byPath(after);
  const header = COMPARED.filter(
    (member) => JSON.stringify(before.header[member]) !== JSON.stringify(after.header[member]),
  ).map((member) => ({ member, before: before.header[member] ?? null, after: after.header[member] ?? null }));
  const both = [...now].flatMap(([path, entry]) => {
    const was = old.get(path);
    return was === undefined ? [] : [{ before: was, after: entry }];
  });
  const changed = both.filter((pair) => pair.before.line !== pair.after.line);
  return {
    header,
    added: [...now].filter(([path]) => !old.has(path)).map(([, { entry }]) => entry),
    removed: [...old].filter(([path]) => !now.has(path)).map(([, { entry }]) => entry),
    changed: changed.map((pair) => ({ before: pair.before.entry, after: pair.after.entry })),
    same: both.length - changed.length,
  };
}

/** Whether nothing differs. */
export function isSame({ header, added, removed, changed }: BaselineChanges): boolean {
  return header.length + added.length + removed.length + changed.length === 0;
}

function byPath({ entries, lines }: Baseline): Map<string, { entry: BaselineEntry; line: string }> {
  return new Map(entries.map((entry, index) => [pathKey(entry.path), { entry, line: lines[index + 1]! }]));
}
