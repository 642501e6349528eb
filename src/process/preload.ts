export const PRELOAD_FILE = "/etc/ld.so.preload";

/** What makes the dynamic loader load a library that the program does not name (ld.so(8)). */
export const PRELOAD_WAYS = ["LD_PRELOAD", "LD_AUDIT", PRELOAD_FILE] as const;
export type PreloadWay = (typeof PRELOAD_WAYS)[number];

/** The names of libraries in a variable's value or in the file's content, as the loader takes them apart. */
export function preloadNames(by: PreloadWay, said: string): string[] {
  const separators = { LD_PRELOAD: /[ :]/, LD_AUDIT: /:/, [PRELOAD_FILE]: /[\s:]/ }[by];
  const text = by === PRELOAD_FILE ? said.replace(/#.*$/gm, "") : said;
  return text.split(separators).filter((name) => name !== "");
}
