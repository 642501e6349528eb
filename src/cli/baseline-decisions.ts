import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { readBaselineFile } from "../baseline/file.ts";
import type { Baseline } from "../baseline/lines.ts";
import { printable, toHex } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import { approveBaseline, type Review } from "../ledger/approve.ts";
import { maxOverlapSeconds, revokeBaseline, supersedeBaseline } from "../ledger/revoke.ts";
import { action } from "./command.ts";
import { type LedgerOptions, place, withLedger } from "./ledger-place.ts";
import { printJson, printLine, say } from "./output.ts";
import { awaited, Progress } from "./progress.ts";
import { readAtJson, sayReadAt, sayWhetherShown } from "./read-at.ts";
import { type SigningOptions, signingKey, withSigningKey } from "./signing-key.ts";

interface Deciding extends LedgerOptions, SigningOptions {
  json?: boolean;
}

/** What publishers decide about proposals on the ledger. */
export function addBaselineDecisions(baseline: Command): void {
  withSigningKey(withLedger(baseline.command("approve")), "another publisher's key")
    .description("sign a proposed baseline, after rebuilding it from the ledger's own data and showing what it changes")
    .argument("<id>", "what 'pims baseline publish' printed")
    .option(
      "--expect <file>",
      "sign only if it is this baseline, built by the approver from the image; its name may differ",
    )
    .option("--yes", "do not ask on a terminal before signing")
    .option("--json", "print one object (pims.baseline-approve/v1)")
    .action(
      action(async (id: string, options: Deciding & { expect?: string; yes?: boolean }) => {
        const { expect } = options;
        const expected =
          expect === undefined ? {} : { expected: { baseline: await readBaselineFile(expect), from: expect } };
        const key = await signingKey(options);
        let differences: string[] = [];
        const progress = new Progress();
        const review = async (shown: Review): Promise<void> => {
          progress.end();
          differences = shown.differences;
          showReview(shown);
          if (options.yes !== true && process.stdin.isTTY && process.stderr.isTTY) await askWhetherToSign();
          progress.step("waiting until the signature is proved to be there");
        };
        const approving = { ...(await place(options)), key, id, review, ...expected };
        progress.step("reading the ledger");
        const done = await approveBaseline(approving).finally(() => progress.end());
        const { status, approvals, gas, at } = done;
        if (options.json)
          printJson({
            ...{ schema: "pims.baseline-approve/v1", id, status, approvals, gas: Number(gas), differences },
            ...{ ...summary(done.baseline), at: readAtJson(at) },
          });
        else
          printLine(
            `${done.baseline.header.identity} ${status}${approvals === null ? "" : `, ${approvals} signatures`}`,
          );
        return sayWhetherShown(at);
      }),
    );

  withSigningKey(withLedger(baseline.command("revoke")), "a publisher's key")
    .description("take an approved baseline back, at once and for good; one publisher is enough")
    .argument("<id>", "the proposal, as 'pims baseline list' shows it")
    .option("--json", "print one object (pims.baseline-revoke/v1)")
    .action(
      action(async (id: string, options: Deciding) => {
        const key = await signingKey(options);
        const revoking = revokeBaseline({ ...(await place(options)), key, id });
        const { identity, gas, at } = await awaited("revoking it", revoking);
        if (options.json)
          printJson({ schema: "pims.baseline-revoke/v1", id, identity, gas: Number(gas), at: readAtJson(at) });
        else printLine(`${identity} ${at === null ? "sent" : "revoked"}`);
        return sayWhetherShown(at);
      }),
    );

  withSigningKey(withLedger(baseline.command("supersede")), "a publisher's key")
    .description("let an image's baseline end after an overlap, because another image's takes its place")
    .argument("<id>", "the approved proposal that ends")
    .requiredOption("--by <id>", "the approved proposal that takes its place")
    .option("--overlap <hours>", "how long both hold; given again for the same one, only shorter", "168")
    .option("--json", "print one object (pims.baseline-supersede/v1)")
    .action(
      action(async (id: string, options: Deciding & { by: string; overlap: string }) => {
        const { by } = options;
        const overlapSeconds = /^\d+(\.\d+)?$/.test(options.overlap) ? Number(options.overlap) * 3600 : Number.NaN;
        if (!Number.isInteger(overlapSeconds) || overlapSeconds > maxOverlapSeconds)
          throw new PimsError("usage", `--overlap is a number of hours, ${maxOverlapSeconds / 3600} at most`);
        const key = await signingKey(options);
        const superseding = supersedeBaseline({ ...(await place(options)), key, id, by, overlapSeconds });
        const { identity, gas, at, ...done } = await awaited("superseding it", superseding);
        const until = done.until === null ? null : rfc3339(Number(done.until) * 1000);
        if (options.json)
          printJson({
            ...{ schema: "pims.baseline-supersede/v1", id, by, identity, until, gas: Number(gas) },
            at: readAtJson(at),
          });
        else printLine(`${identity} ${until === null ? "sent" : `ends at ${until}`}`);
        return sayWhetherShown(at);
      }),
    );
}

function showReview({ proposed, approved, differences, at }: Review): void {
  sayReadAt(at);
  const { name, identity, entries } = proposed.header;
  say(`pims: ${printable(name)}, ${identity}, ${entries} entries, root ${toHex(proposed.root)}`);
  if (approved === null) say("pims: nothing is approved for this image now");
  else if (differences.length === 0) say("pims: it says the same as what is approved now");
  for (const difference of differences) say(`pims: against what is approved now, ${difference}`);
}

async function askWhetherToSign(): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question("Sign it? (yes or no) ");
    if (answer.trim().toLowerCase() !== "yes") throw new PimsError("not-signed", "nothing was signed");
  } finally {
    terminal.close();
  }
}

function summary({ header, root }: Baseline): { identity: string; name: string; entries: number; root: string } {
  return { identity: header.identity, name: header.name, entries: header.entries, root: toHex(root) };
}
