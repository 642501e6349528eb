import { readdirSync } from "node:fs";
import type { BenignCase } from "./case.ts";
import { type Description, readDescription } from "./readme.ts";

export const CORPUS = import.meta.dirname;

export interface Entry {
  readonly description: Description;
  readonly benign: BenignCase;
}

/** Every case of the corpus, or the named ones, in order of their names. */
export async function readCorpus(names: readonly string[] = []): Promise<Entry[]> {
  const folders = readdirSync(CORPUS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && (names.length === 0 || names.includes(entry.name)))
    .map(({ name }) => name)
    .sort();
  const unknown = names.filter((name) => !folders.includes(name));
  if (unknown.length > 0) throw new Error(`no such case: ${unknown.join(", ")}`);
  return Promise.all(
    folders.map(async (name) => {
      const module: { benign: BenignCase } = await import(`./${name}/case.ts`);
      return { description: readDescription(CORPUS, name), benign: module.benign };
    }),
  );
}
