/** What bench/window.ts measured: milliseconds from a violation's way into the log to the verifier's acceptance of evidence of it. */
export interface WindowRow {
  readonly tries: number;
  readonly minMs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const HEAD = `| violations | min | median | p99 | max |
|---|---|---|---|---|
`;

/** The page with these figures in place of those that it has. */
export function withWindowTable(page: string, { tries, minMs, medianMs, p99Ms, maxMs }: WindowRow): string {
  const start = page.indexOf(HEAD);
  const end = page.indexOf("\n", start + HEAD.length);
  if (start < 0 || end < 0) throw new Error("the page has no such table");
  const row = `| ${[tries, ...[minMs, medianMs, p99Ms, maxMs].map((time) => String(time))].join(" | ")} |`;
  return page.slice(0, start) + HEAD + row + page.slice(end);
}
