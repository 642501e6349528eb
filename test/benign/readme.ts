import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REASONS } from "../../src/log/finding.ts";

/** A finding that the software deserves. */
export interface Earned {
  readonly reason: string;
  /** Path of the object; `*` stands for any part of a path. */
  readonly object: string;
  /** Words of the sentence that explains it; empty where any will do. */
  readonly says: string;
}

/** What the README of a case says about it. */
export interface Description {
  readonly name: string;
  /** Its first line: what runs there. */
  readonly runs: string;
  readonly load: string;
  readonly earned: readonly Earned[];
  /** What is earned with the gate in `enforce`, null where it is the same. */
  readonly enforced: readonly Earned[] | null;
}

const EARNED = /`([a-z-]+)` of `([^`|]+)`(?: \("([^"|]+)"\))?/;
const ROW = new RegExp(`^\\| ([^|]+) \\| (nothing|(?:${EARNED.source}(?:, )?)+) \\|$`, "m");
const ENFORCED = new RegExp(`^In \`enforce\` it is for ((?:${EARNED.source}(?:, )?)+) instead\\.$`, "m");

/** Reads `NAME/README.md`. Throws where it lacks the first line or the table. */
export function readDescription(folder: string, name: string): Description {
  const text = readFileSync(join(folder, name, "README.md"), "utf8");
  const runs = text.slice(0, text.indexOf("\n"));
  const [, load, cell] = ROW.exec(text) ?? [];
  if (!runs.endsWith(".") || load === undefined || cell === undefined)
    throw new Error(`${name}/README.md is not of the agreed form`);
  const earned = listed(cell);
  const instead = ENFORCED.exec(text)?.[1];
  const enforced = instead === undefined ? null : listed(instead);
  for (const { reason } of [...earned, ...(enforced ?? [])])
    if (!(REASONS as readonly string[]).includes(reason))
      throw new Error(`${name}/README.md names a reason that does not exist`);
  return { name, runs: runs.slice(0, -1), load, earned, enforced };
}

function listed(text: string): Earned[] {
  return [...text.matchAll(new RegExp(EARNED, "g"))].map(([, reason, object, says = ""]) => {
    return { reason: reason!, object: object!, says };
  });
}
