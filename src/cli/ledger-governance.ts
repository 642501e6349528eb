import type { Command } from "commander";
import { PimsError } from "../core/errors.ts";
import { changePublishers, type MotionSigned, retireRegistry } from "../ledger/governance.ts";
import { openRegistry } from "../ledger/open-ledger.ts";
import { MAX_PUBLISHERS, readGovernance } from "../ledger/registry-reads.ts";
import { action, wholeNumber } from "./command.ts";
import { type LedgerOptions, place, withLedger } from "./ledger-place.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";
import { awaited } from "./progress.ts";
import { readAtJson, sayReadAt, sayWhetherShown } from "./read-at.ts";
import { type SigningOptions, signingKey, withSigningKey } from "./signing-key.ts";

/** What only a quorum of publishers changes. */
export function addGovernance(ledger: Command): void {
  withSigningKey(withLedger(ledger.command("publishers")), "a publisher's key", "with --set: ")
    .description("who publishes and how many must agree; with --set, sign for others")
    .option("--set <address...>", "sign for these as all the publishers; a quorum has to sign for the very same")
    .option("--quorum <number>", "with --set: how many of them must sign then")
    .option("--json", "print one object (pims.ledger-publishers/v1)")
    .action(
      action(async (options: LedgerOptions & Change) => {
        const signed = await signChange(options);
        const at = await openRegistry(await place(options));
        const { publishers, quorum, epoch, successor } = await readGovernance(at);
        if (options.json) {
          const motion = signed === null ? null : { signatures: signed.signatures, gas: Number(signed.gas) };
          printJson({
            ...{ schema: "pims.ledger-publishers/v1", publishers, quorum, epoch, successor, motion },
            at: readAtJson(at),
          });
          return signed === null ? EXIT.good : sayWhetherShown(signed.at);
        }
        for (const publisher of publishers) printLine(publisher);
        say(`pims: ${quorum} of ${publishers.length} must sign`);
        if (successor !== null) say(`pims: this registry takes no proposals any more, ${successor} does`);
        if (signed === null) {
          sayReadAt(at);
          return EXIT.good;
        }
        sayMotion(signed);
        return sayWhetherShown(signed.at);
      }),
    );

  withSigningKey(withLedger(ledger.command("retire")), "a publisher's key")
    .description("sign for another registry in this one's place; a quorum has to sign for the very same")
    .argument("<successor>", "address of the other registry")
    .option("--json", "print one object (pims.ledger-retire/v1)")
    .action(
      action(async (successor: string, options: LedgerOptions & SigningOptions & { json?: boolean }) => {
        const key = await signingKey(options);
        const signing = retireRegistry({ ...(await place(options)), key, successor });
        const signed = await awaited("signing it", signing);
        const { signatures, quorum, gas, at } = signed;
        if (options.json)
          printJson({
            ...{ schema: "pims.ledger-retire/v1", successor, signatures, quorum, gas: Number(gas) },
            at: readAtJson(at),
          });
        else sayMotion(signed);
        return sayWhetherShown(at);
      }),
    );
}

interface Change extends SigningOptions {
  set?: string[];
  quorum?: string;
  json?: boolean;
}

async function signChange(options: LedgerOptions & Change): Promise<MotionSigned | null> {
  const { set, quorum } = options;
  if (set === undefined && quorum === undefined) return null;
  if (set === undefined || quorum === undefined)
    throw new PimsError("usage", "other publishers are signed for with --set and --quorum together");
  const wanted = wholeNumber("--quorum", quorum, MAX_PUBLISHERS);
  const key = await signingKey(options);
  const change = { ...(await place(options)), key, publishers: set, quorum: wanted };
  return awaited("signing it", changePublishers(change));
}

function sayMotion({ signatures, quorum }: MotionSigned): void {
  if (signatures === null) return;
  say(
    signatures >= quorum
      ? "pims: signed, and in force"
      : `pims: signed; ${signatures} of ${quorum} signatures, others have to sign for the very same`,
  );
}
