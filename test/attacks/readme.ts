import { readFileSync } from "node:fs";
import { join } from "node:path";
import { REASONS } from "../../src/log/finding.ts";

export const OUTCOMES = ["prevented", "detected", "missed", "not covered"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What comes of an attack, or of one step of it. */
export interface Row {
  /** The reason that must be reported; for what is missed, the one that is hoped for, which may not exist yet. */
  readonly reason: string;
  readonly process: string;
  /** Path of the object; `*` stands for any part of a path. */
  readonly object: string;
  readonly outcome: Outcome;
}

/** What the README of an attack says about it: its own row is the table's first. */
export interface Description extends Row {
  readonly name: string;
  /** Its first line: what the attack imitates. */
  readonly imitates: string;
  /** Technique of MITRE ATT&CK, such as `T1055.009`. */
  readonly technique: string;
  readonly container: "lab" | "web";
  /** What comes of further steps, where an attack is a chain of several. */
  readonly also: readonly Row[];
  /** Path of the program that the gate in `enforce` refuses, with which the attack fails; null where it changes nothing. */
  readonly prevented: string | null;
  /** What may be found of the same object besides, since it depends on what comes first; null where nothing may. */
  readonly possible: string | null;
}

const ROW = /^\| (lab|web) \| `([a-z-]+)` \| ([^|]+) \| `([^`|]+)` \| (prevented|detected|missed|not covered) \|$/gm;

const PREVENTED = /^In `enforce` it is prevented: `exec-denied` of `([^`\n]+)`\.$/m;

const POSSIBLE = /^It may be found as `([a-z-]+)`, too[,.]/m;

/** Reads `NAME/README.md`. Throws where it lacks the first line or the table. */
export function readDescription(folder: string, name: string): Description {
  const text = readFileSync(join(folder, name, "README.md"), "utf8");
  const imitates = text.slice(0, text.indexOf("\n"));
  const technique = /\(ATT&CK (T\d{4}(?:\.\d{3})?)\)\.$/.exec(imitates)?.[1];
  const found = [...text.matchAll(ROW)];
  const [first, ...also] = found.map(([, , reason, process, object, outcome]): Row => {
    return { reason: reason!, process: process!, object: object!, outcome: outcome as Outcome };
  });
  const container = found[0]?.[1] as "lab" | "web" | undefined;
  if (technique === undefined || first === undefined || container === undefined)
    throw new Error(`${name}/README.md is not of the agreed form`);
  for (const { reason, outcome } of [first, ...also])
    if (outcome === "detected" && !(REASONS as readonly string[]).includes(reason))
      throw new Error(`${name}/README.md names a reason that does not exist`);
  return {
    name,
    imitates: imitates.replace(/^Imitates /, "").replace(/ \(ATT&CK [^)]*\)\.$/, ""),
    technique,
    container,
    ...first,
    also,
    prevented: PREVENTED.exec(text)?.[1] ?? null,
    possible: POSSIBLE.exec(text)?.[1] ?? null,
  };
}

/** Whether a path is the one that a description means. */
export function matchesObject(pattern: string, path: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^/]*")}$`).test(path);
}
