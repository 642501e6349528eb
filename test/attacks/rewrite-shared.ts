import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Site, until } from "./site.ts";

/**
 * Drives a payload that rewrites code through a shared writable mapping (`rewrite_shared` in lab.py): a sweep comes in
 * between its first touch and each attempt.
 */
export async function rewriteBetweenSweeps(site: Site): Promise<null> {
  await site.payload();
  const says = (word: string) => existsSync(join(site.volume, `${word}.said`));
  for (let attempt = 0; !says("done"); attempt++) {
    await site.said(`touched-${attempt}`);
    await site.sweep();
    await site.go(`write-${attempt}`);
    await until("an answer", () => says("done") || says(`touched-${attempt + 1}`));
  }
  return null;
}
