import { readdirSync } from "node:fs";
import type { Attack } from "./attack.ts";
import type { Lab, Result } from "./lab.ts";
import { type Description, readDescription } from "./readme.ts";

export const CORPUS = import.meta.dirname;

export interface Entry {
  readonly description: Description;
  readonly attack: Attack;
}

/** Every attack of the corpus, or the named ones, in order of their names. */
export async function readCorpus(names: readonly string[] = []): Promise<Entry[]> {
  const folders = readdirSync(CORPUS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && (names.length === 0 || names.includes(entry.name)))
    .map(({ name }) => name)
    .sort();
  const unknown = names.filter((name) => !folders.includes(name));
  if (unknown.length > 0) throw new Error(`no such attack: ${unknown.join(", ")}`);
  return Promise.all(
    folders.map(async (name) => {
      const module: { attack: Attack } = await import(`./${name}/attack.ts`);
      return { description: readDescription(CORPUS, name), attack: module.attack };
    }),
  );
}

/** Carries out one attack; a failure of the attack itself is a problem of every method. */
export async function carryOut(lab: Lab, { description, attack }: Entry): Promise<Result[]> {
  try {
    return await lab.carryOut(description, attack);
  } catch (error) {
    const problems = [`the attack did not succeed: ${error instanceof Error ? error.message : error}`];
    return (["auto", "fallback"] as const).map((method) => ({ description, method, observed: "failed", problems }));
  }
}
