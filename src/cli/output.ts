import { once } from "node:events";
import { describeError } from "../core/errors.ts";
import { colours as pc } from "./colours.ts";

/** Exit statuses of every command: the worst wins, 2 before 3. */
export const EXIT = { good: 0, failed: 1, findings: 2, undetermined: 3 } as const;

/** Results go to standard output … */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** The same for more lines than are to be kept in memory while nobody reads them. */
export async function printPatiently(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, "drain");
}

/** … and messages for people to standard error. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One sentence, no stack trace. */
export function complain(error: unknown): void {
  process.stderr.write(`pims: ${describeError(error)}\n`);
}

/** Columns padded to their widest cell; colour codes do not count. Cells are already printable. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, visibleLength(cell));
  return rows
    .map((row) =>
      row
        .map((cell, index) =>
          index === row.length - 1 ? cell : cell + " ".repeat(widths[index]! - visibleLength(cell)),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with ESC
  return [...text.replace(/\u001b\[[0-9;]*m/g, "")].length;
}

export function colourStatus(status: string): string {
  if (status === "trusted" || status === "good" || status === "proved" || status === "ok") return pc.green(status);
  if (status === "untrusted" || status === "refused" || status === "broken" || status === "failed")
    return pc.red(status);
  return pc.yellow(status);
}
