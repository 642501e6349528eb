import type { Command } from "commander";
import { type BaselineChanges, COMPARED, type ComparedMember, compareBaselines, isSame } from "../baseline/compare.ts";
import { readBaselineFile } from "../baseline/file.ts";
import type { Baseline, BaselineEntry } from "../baseline/lines.ts";
import { type JsonText, printable, toHex } from "../core/bytes.ts";
import { identityToHash, parseProposalId } from "../ledger/contract/identity.ts";
import type { ReadAt } from "../ledger/proved-contract.ts";
import { readBaseline, readProposedBaseline } from "../ledger/read-baseline.ts";
import { colours as pc } from "./colours.ts";
import { action } from "./command.ts";
import { shortDigest } from "./describe.ts";
import { type LedgerOptions, place, withLedger } from "./ledger-place.ts";
import { EXIT, printJson, printLine, say, table } from "./output.ts";
import { awaited } from "./progress.ts";
import { readAtJson, sayReadAt } from "./read-at.ts";

interface ViewOptions extends LedgerOptions {
  json?: boolean;
}

/** What a baseline says, and what another one says otherwise. */
export function addBaselineViews(baseline: Command): void {
  withLedger(baseline.command("show"))
    .description("show a baseline: a file's, or the ledger's for an image identity or a proposal")
    .argument("<file|identity|proposal>", "a file, sha256:… or 0x…")
    .option("--json", "print one object (pims.baseline-show/v1)")
    .addHelpText("after", "\nExit status: 0 shown, 1 failed, 3 the ledger has no approved baseline for the image")
    .action(
      action(async (which: string, options: ViewOptions) => {
        const found = await find(which, options);
        if (found === null) return EXIT.undetermined;
        if (options.json)
          printJson({
            schema: "pims.baseline-show/v1",
            ...summary(found.baseline),
            status: found.status,
            at: readAtJson(found.at),
            lines: found.baseline.lines.map((line) => JSON.parse(line)),
          });
        else show(found.baseline, found.status);
        return EXIT.good;
      }),
    );

  withLedger(baseline.command("diff"))
    .description("show what one baseline says otherwise than another, such as that of an image's last version")
    .argument("<before>", "a file, sha256:… or 0x…")
    .argument("<after>", "another one")
    .option("--json", "print one object (pims.baseline-diff/v1)")
    .addHelpText(
      "after",
      "\nExit status: 0 the same, 1 failed, 2 different, 3 the ledger has no approved baseline for an image",
    )
    .action(
      action(async (before: string, after: string, options: ViewOptions) => {
        const pair = [await find(before, options), await find(after, options)] as const;
        if (pair[0] === null || pair[1] === null) return EXIT.undetermined;
        const changes = compareBaselines(pair[0].baseline, pair[1].baseline);
        if (options.json)
          printJson({
            schema: "pims.baseline-diff/v1",
            before: summary(pair[0].baseline),
            after: summary(pair[1].baseline),
            header: changes.header,
            added: changes.added.map(toJson),
            removed: changes.removed.map(toJson),
            changed: changes.changed.map((one) => ({ before: toJson(one.before), after: toJson(one.after) })),
            same: changes.same,
          });
        else showChanges(changes);
        return isSame(changes) ? EXIT.good : EXIT.findings;
      }),
    );
}

export function summary({ header, root }: Baseline): { identity: string; name: string; entries: number; root: string } {
  return { identity: header.identity, name: header.name, entries: header.entries, root: toHex(root) };
}

interface Found {
  readonly baseline: Baseline;
  readonly status: string;
  /** Null for a file. */
  readonly at: ReadAt | null;
}

/** Null, with a word about it, where the ledger has none that is approved. */
async function find(which: string, options: ViewOptions): Promise<Found | null> {
  if (which.startsWith("sha256:")) identityToHash(which);
  else if (which.startsWith("0x")) parseProposalId(which);
  else return { baseline: await readBaselineFile(which), status: "file", at: null };
  const registry = await place(options);
  if (which.startsWith("0x")) {
    const reading = readProposedBaseline({ ...registry, id: which });
    const { baseline, proposal, at } = await awaited("reading the ledger", reading);
    sayReadAt(at);
    return { baseline, status: proposal.status, at };
  }
  const read = await awaited("reading the ledger", readBaseline({ ...registry, identity: which }));
  const { status, at } = read;
  sayReadAt(at);
  if (status === "approved") return { baseline: read.baseline, status, at };
  say(`pims: the ledger has no approved baseline for ${printable(which)}`);
  return null;
}

const TITLES: Readonly<Record<ComparedMember, string>> = {
  identity: "identity",
  name: "name",
  architecture: "architecture",
  ports: "ports",
  entrypoint: "entry point",
  jit: "may compile just in time",
  loader: "preloads",
  allowed: "allowed besides",
};

function show(baseline: Baseline, status: string): void {
  const { header, entries, root } = baseline;
  printLine(
    table([
      ...COMPARED.map((member) => [TITLES[member], text(header[member])]),
      ["status", status],
      ["root", toHex(root)],
      ["entries", counted(entries)],
    ]),
  );
  if (entries.length === 0) return;
  printLine();
  printLine(table([["KIND", "BYTES", "SHA-256", "SEGMENTS", "PATH"], ...entries.map(row)]));
}

function showChanges(changes: BaselineChanges): void {
  const { header, added, removed, changed, same } = changes;
  for (const { member, before, after } of header) {
    if (Array.isArray(before) || Array.isArray(after)) {
      printLine(`${TITLES[member]}:`);
      for (const line of changedWords(before, after)) printLine(`  ${line}`);
    } else printLine(`${TITLES[member]}: ${text(before)} → ${text(after)}`);
  }
  const rows = [
    ...removed.map((entry) => [pc.red("-"), ...row(entry)]),
    ...added.map((entry) => [pc.green("+"), ...row(entry)]),
    ...changed.map(({ before, after }) => [pc.yellow("~"), ...changedRow(before, after)]),
  ];
  if (rows.length > 0) {
    if (header.length > 0) printLine();
    printLine(table([["", "KIND", "BYTES", "SHA-256", "SEGMENTS", "PATH"], ...rows]));
  }
  say(
    `pims: ${added.length} added, ${removed.length} removed, ${changed.length} changed, ${same} the same${isSame(changes) ? "; nothing differs" : ""}`,
  );
}

/** Words that are there in one of two lists only; where there are none, their order is what differs. */
function changedWords(before: unknown, after: unknown): string[] {
  const [old, now] = [before, after].map((list) =>
    Array.isArray(list) ? (list as JsonText[]).map((one) => printable(one)) : [],
  );
  const gone = old!.filter((word) => !now!.includes(word)).map((word) => pc.red(`- ${word}`));
  const come = now!.filter((word) => !old!.includes(word)).map((word) => pc.green(`+ ${word}`));
  return gone.length + come.length > 0 ? [...gone, ...come] : [`${text(before)} → ${text(after)}`];
}

function row({ kind, size, sha256, segments, path }: BaselineEntry): string[] {
  return [kind, size.toString(), shortDigest(sha256), String(segments.length), printable(path)];
}

function changedRow(before: BaselineEntry, after: BaselineEntry): string[] {
  const [old, now] = [row(before), row(after)];
  return now.map((cell, at) => (cell === old[at] ? cell : `${old[at]} → ${cell}`));
}

function text(value: unknown): string {
  if (value === undefined || value === null) return "-";
  if (typeof value === "string") return printable(value);
  if (!Array.isArray(value))
    return Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([name, one]) => `${name}=${printable(String(one))}`)
      .join(" ");
  return value.length === 0 ? "-" : (value as JsonText[]).map((one) => printable(one)).join(" ");
}

const KINDS = { executable: "programs", library: "libraries", script: "scripts" } as const;

function counted(entries: readonly BaselineEntry[]): string {
  const parts = Object.entries(KINDS).map(
    ([kind, title]) => `${entries.filter((entry) => entry.kind === kind).length} ${title}`,
  );
  return `${entries.length}: ${parts.join(", ")}`;
}

function toJson(entry: BaselineEntry): object {
  const { path, kind, size, sha256, segments } = entry;
  return {
    ...{ path, kind, size: size.toString(), sha256 },
    segments: segments.map((one) => ({ ...one, offset: one.offset.toString(), size: one.size.toString() })),
  };
}
