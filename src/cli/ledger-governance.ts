import type { Command } from "commander";
import { PimsError } from "../core/errors.ts";
import { changePublishers, type MotionSigned, readPublishers, retireRegistry } from "../ledger/governance.ts";
import { action } from "./command.ts";
import { type LedgerOptions, place, withLedger } from "./ledger-place.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";
import { type SigningOptions, signingKey, withSigningKey } from "./signing-key.ts";

/** What only a quorum of publishers changes. */
export function addGovernance(ledger: Command): void {
  withSigningKey(withLedger(ledger.command("publishers")), "with --set: a publisher's key")
    .description("who publishes and how many must agree; with --set, sign for others")
    .option("--set <address...>", "sign for these as all the publishers; a quorum has to sign for the very same")
    .option("--quorum <number>", "with --set: how many of them must sign then")
    .option("--json", "print one object (pims.ledger-publishers/v1)")
    .action(
      action(async (options: LedgerOptions & Change) => {
        const signed = await signChange(options);
        const { publishers, quorum, epoch, successor } = await readPublishers(place(options));
        if (options.json) {
          const motion = signed === null ? null : { signatures: signed.signatures, gas: Number(signed.gas) };
          printJson({ schema: "pims.ledger-publishers/v1", publishers, quorum, epoch, successor, motion });
          return EXIT.good;
        }
        for (const publisher of publishers) printLine(publisher);
        say(`pims: ${quorum} of ${publishers.length} must sign`);
        if (successor !== null) say(`pims: this registry takes no proposals any more, ${successor} does`);
        if (signed !== null) sayMotion(signed);
        return EXIT.good;
      }),
    );

  withSigningKey(withLedger(ledger.command("retire")), "a publisher's key")
    .description("sign for another registry in this one's place; a quorum has to sign for the very same")
    .argument("<successor>", "address of the other registry")
    .option("--json", "print one object (pims.ledger-retire/v1)")
    .action(
      action(async (successor: string, options: LedgerOptions & SigningOptions & { json?: boolean }) => {
        const signed = await retireRegistry({ ...place(options), key: await signingKey(options), successor });
        const { signatures, quorum, gas } = signed;
        if (options.json)
          printJson({ schema: "pims.ledger-retire/v1", successor, signatures, quorum, gas: Number(gas) });
        else sayMotion(signed);
        return EXIT.good;
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
  return changePublishers({
    ...place(options),
    key: await signingKey(options),
    publishers: set,
    quorum: Number(quorum),
  });
}

function sayMotion({ signatures, quorum }: MotionSigned): void {
  say(
    signatures >= quorum
      ? "pims: signed, and in force"
      : `pims: signed; ${signatures} of ${quorum} signatures, others have to sign for the very same`,
  );
}
