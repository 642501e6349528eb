// The tables of docs/ledger-cost.md that are computed. `--write` puts them there; a test computes again and compares.
import { readFile, writeFile } from "node:fs/promises";
import { maxChunkBytes } from "../src/ledger/contract/entry-data.ts";
import {
  ASSUMED,
  CLIQUE_HEADER_BYTES,
  type Cost,
  costOfDay,
  costOfStart,
  headersOf,
  Operations,
  type Parameters,
  SAMPLES,
  sum,
  times,
} from "./ledger-cost-model.ts";
import { COST_PAGE, digits, writtenGas } from "./measure-gas.ts";

/** Bytes, gas and counts as a person reads them: three digits. */
function short(number: number): string {
  const [unit, size] =
    (
      [
        ["G", 1e9],
        ["M", 1e6],
        ["k", 1e3],
      ] as const
    ).find(([, least]) => Math.abs(number) >= least) ?? (["", 1] as const);
  return `${Number((number / size).toPrecision(3))}${unit === "" ? "" : ` ${unit}`}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((cells) => `| ${cells.join(" | ")} |\n`);
  return [lines[0], `|${"---|".repeat(head.length)}\n`, ...lines.slice(1)].join("");
}

function samples(): string {
  return table(
    ["root file system", "lines", "bytes", "compressed", "pieces", "share of the images"],
    SAMPLES.map(({ name, lines, bytes, packed, share }) => [
      name,
      ...[lines, bytes, packed, Math.ceil(packed / maxChunkBytes)].map(digits),
      `${Math.round(share * 100)} %`,
    ]),
  );
}

const cells = ({ transactions, gas, bytes, receiptBytes, words }: Cost): string[] => [
  digits(Math.round(transactions)),
  ...[gas, bytes, receiptBytes].map(short),
  digits(Math.round(words)),
];

/** All of a day, a year's headers included. */
function yearOf(operations: Operations, parameters: Parameters): { cost: Cost; headers: number } {
  const cost = times(365, sum(...Object.values(costOfDay(operations, parameters))));
  return { cost, headers: headersOf(parameters, cost.transactions) };
}

function assumed(operations: Operations): string {
  const start = costOfStart(operations, ASSUMED);
  const day = costOfDay(operations, ASSUMED);
  const { cost, headers } = yearOf(operations, ASSUMED);
  const row = (name: string, one: Cost, headerBytes: number | null): string[] => [
    name,
    ...cells(one),
    headerBytes === null ? "" : short(headerBytes),
  ];
  const beginning = sum(...Object.values(start));
  return table(
    ["", "transactions", "gas", "bytes of transactions", "of receipts", "words of state", "bytes of headers"],
    [
      row("at the start: contracts", start.contracts, null),
      row("baselines of 1000 images", start.baselines, null),
      row("keys of 10 000 hosts", start.hosts, null),
      row("a day: 100 changes", day.changes, null),
      row("a revocation", day.revocations, null),
      row("20 hosts' keys exchanged", day.hosts, null),
      row("checkpoints, one a minute", day.checkpoints, null),
      row("**a day**", times(1 / 365, cost), headers / 365),
      row("**a year**", cost, headers),
      row("**after five years, with the start**", sum(beginning, times(5, cost)), 5 * headers),
    ],
  );
}

function variants(operations: Operations): string {
  const changed: [string, Partial<Parameters>][] = [
    ["as assumed", {}],
    ["1000 hosts", { hosts: 1000, hostChangesPerDay: 2 }],
    ["100 000 hosts", { hosts: 100_000, hostChangesPerDay: 200 }],
    ["10 changes a day", { changesPerDay: 10 }],
    ["1000 changes a day", { changesPerDay: 1000 }],
    ["every image like the largest", { samples: [{ packed: SAMPLES.at(-1)!.packed, share: 1 }] }],
    ["three must sign", { quorum: 3 }],
    ["a checkpoint each 10 seconds", { checkpointSeconds: 10 }],
    ["a checkpoint each 10 minutes", { checkpointSeconds: 600 }],
    ["ten verifiers", { verifiers: 10 }],
    ["a block each 15 seconds", { blockSeconds: 15 }],
    ["a block each second", { blockSeconds: 1 }],
    ["Clique, a block each 5 seconds", { headerBytes: CLIQUE_HEADER_BYTES }],
    [
      "the embedded chain: no block without a transaction",
      { blockSeconds: null, headerBytes: CLIQUE_HEADER_BYTES - 97 },
    ],
  ];
  return table(
    ["a year", "transactions", "gas", "bytes of transactions and receipts", "of headers", "words of state"],
    changed.map(([name, change]) => {
      const { cost, headers } = yearOf(operations, { ...ASSUMED, ...change });
      const kept = [cost.gas, cost.bytes + cost.receiptBytes, headers].map(short);
      return [name, digits(Math.round(cost.transactions)), ...kept, digits(Math.round(cost.words))];
    }),
  );
}

/** By the name that stands before each in a comment. */
export async function computedTables(): Promise<Record<string, string>> {
  const operations = new Operations(await writtenGas());
  return { samples: samples(), assumed: assumed(operations), variants: variants(operations) };
}

/** A table from its comment to the empty line after it. */
const marked = (name: string): RegExp => new RegExp(`(<!-- computed: ${name} -->\n)((?:\\|.*\n)*)`);

export async function writtenTable(name: string): Promise<string | undefined> {
  return marked(name).exec(await readFile(COST_PAGE, "utf8"))?.[2];
}

if (import.meta.main) {
  let page = await readFile(COST_PAGE, "utf8");
  for (const [name, text] of Object.entries(await computedTables())) {
    if (process.argv.includes("--write"))
      page = page.replace(marked(name), (_, comment: string) => `${comment}${text}`);
    else process.stdout.write(`${text}\n`);
  }
  if (process.argv.includes("--write")) await writeFile(COST_PAGE, page);
}
