/** Milliseconds from the block of a revocation to what it has to reach. */
export interface ReachRow {
  readonly what: string;
  readonly revocations: number;
  readonly minMs: number;
  readonly medianMs: number;
  readonly maxMs: number;
}

const HEAD = `| a revocation reaches | revocations | min | median | max |
|---|---|---|---|---|
`;

/** The page with these figures in place of those that it has. */
export function withRevocationTable(page: string, rows: readonly ReachRow[]): string {
  const start = page.indexOf(HEAD);
  const end = page.indexOf("\n\n", start);
  if (start < 0 || end < 0) throw new Error("the page has no such table");
  const lines = rows.map(({ what, revocations, minMs, medianMs, maxMs }) =>
    [what, revocations, minMs, medianMs, maxMs].join(" | "),
  );
  return page.slice(0, start) + HEAD + lines.map((line) => `| ${line} |`).join("\n") + page.slice(end);
}
