/** One class of attacks in detection.json. Times are null where nothing was detected. */
export interface DetectionRow {
  readonly attack: string;
  readonly tries: number;
  readonly detected: number;
  readonly byEvent: number;
  readonly bySweep: number;
  readonly minMs: number | null;
  readonly medianMs: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

const HEAD = `| attack | tries | detected | by exec event | by sweep | min | median | p99 | max |
|---|---|---|---|---|---|---|---|---|
`;

/** The table of docs/performance.md. */
export function detectionTable(rows: readonly DetectionRow[]): string {
  const lines = rows.map(({ attack, tries, detected, byEvent, bySweep, minMs, medianMs, p99Ms, maxMs }) => {
    const times = [minMs, medianMs, p99Ms, maxMs].map((time) => (time === null ? "–" : time.toFixed(1)));
    return `| ${[attack, tries, detected, byEvent, bySweep, ...times].join(" | ")} |\n`;
  });
  return HEAD + lines.join("");
}

/** The page with this table in place of the one that it has. */
export function withDetectionTable(page: string, rows: readonly DetectionRow[]): string {
  const start = page.indexOf(HEAD);
  const end = page.indexOf("\n\n", start);
  if (start < 0 || end < 0) throw new Error("the page has no such table");
  return page.slice(0, start) + detectionTable(rows) + page.slice(end + 1);
}
