import type { Command } from "commander";
import { readBaselineFile } from "../baseline/file.ts";
import { toHex } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { proposeBaseline } from "../ledger/propose.ts";
import { type ListedBaseline, listBaselines } from "../ledger/read-baseline.ts";
import { addBaselineBuild } from "./baseline-build.ts";
import { addBaselineDecisions } from "./baseline-decisions.ts";
import { addBaselineViews } from "./baseline-views.ts";
import { action } from "./command.ts";
import { type LedgerOptions, place, withLedger } from "./ledger-place.ts";
import { EXIT, printJson, printLine, say, table } from "./output.ts";
import { awaited } from "./progress.ts";
import { readAtJson, sayReadAt, sayWhetherShown } from "./read-at.ts";
import { type SigningOptions, signingKey, withSigningKey } from "./signing-key.ts";

export function addBaseline(program: Command): void {
  const baseline = program.command("baseline").description("what an image promises, and its way to the ledger");

  addBaselineBuild(baseline);

  withSigningKey(withLedger(baseline.command("publish")), "a publisher's key")
    .description("propose a baseline on the ledger, as its first signer")
    .argument("<file>", "what 'pims baseline build' wrote")
    .option("--json", "print one object (pims.baseline-publish/v1)")
    .action(
      action(async (file: string, options: LedgerOptions & SigningOptions & { json?: boolean }) => {
        const { lines } = await readBaselineFile(file);
        const key = await signingKey(options);
        const proposing = { ...(await place(options)), key, lines };
        const { id, root, transactions, gas, at } = await awaited("sending it", proposeBaseline(proposing));
        if (options.json)
          printJson({
            ...{ schema: "pims.baseline-publish/v1", id, root: toHex(root), transactions, gas: Number(gas) },
            at: readAtJson(at),
          });
        else {
          printLine(id);
          say("pims: proposed; it is a baseline once enough publishers approve it: pims baseline approve");
        }
        return sayWhetherShown(at);
      }),
    );

  addBaselineDecisions(baseline);

  withLedger(baseline.command("list"))
    .description("the images that the ledger knows")
    .option("--json", "print one object (pims.baseline-list/v1)")
    .action(
      action(async (options: LedgerOptions & { json?: boolean }) => {
        const { baselines: listed, at } = await awaited("reading the ledger", listBaselines(await place(options)));
        sayReadAt(at);
        if (options.json) printJson({ schema: "pims.baseline-list/v1", baselines: listed, at: readAtJson(at) });
        else if (listed.length === 0) printLine("the ledger has no baseline");
        else printLine(table([["IDENTITY", "STATUS", "ENTRIES", "PROPOSAL", "ENDS"], ...listed.flatMap(rows)]));
        return EXIT.good;
      }),
    );

  addBaselineViews(baseline);
}

/** Of an image, and of what is proposed for it besides. */
function rows({ identity, status, lines, id, until, proposed }: ListedBaseline): string[][] {
  const first = [identity, status, String(lines - 1), id, until === 0 ? "" : rfc3339(until * 1000)];
  return proposed === null ? [first] : [first, [identity, "proposed", String(proposed.lines - 1), proposed.id, ""]];
}
