import type { Command } from "commander";
import { printable } from "../core/bytes.ts";
import { proveHost, readCheckpointFile } from "../ledger/checkpoint-file.ts";
import { readCheckpoint } from "../ledger/checkpoints.ts";
import { parseAddress } from "../ledger/contract/address.ts";
import { openLedger } from "../ledger/open-ledger.ts";
import { action } from "./command.ts";
import { type ChainOptions, chainPlace, withChain } from "./ledger-place.ts";
import { EXIT, printJson, printLine } from "./output.ts";
import { readAtJson, sayReadAt } from "./read-at.ts";

interface Options extends ChainOptions {
  contract: string;
  reporter: string;
  host?: string;
  json?: boolean;
}

/** Whether what a verifier says it has said is what it said. */
export function addCheckpoint(ledger: Command): void {
  withChain(ledger.command("checkpoint"))
    .description("compare a checkpoint's lines, as the verifier kept them, with what it put on the ledger")
    .argument("<file>", "one of the files in the verifier's state folder, below checkpoints")
    .requiredOption("--contract <address>", "address of the contract for checkpoints")
    .requiredOption("--reporter <address>", "address of the verifier's key")
    .option("--host <host>", "show this host's line, with its inclusion proof in --json")
    .option("--json", "print one object (pims.ledger-checkpoint/v1)")
    .addHelpText(
      "after",
      "\nExit status: 0 it is the same, 1 failed, 2 it is not what the ledger has, 3 the ledger has none",
    )
    .action(
      action(async (path: string, { contract, reporter, host, json, ...options }: Options) => {
        const file = await readCheckpointFile(path);
        const address = parseAddress(contract);
        const ledger = openLedger({ ...(await chainPlace(options)), registry: address });
        const at = await ledger.contract("Checkpoints", address);
        const kept = await readCheckpoint(at, parseAddress(reporter), file.number);
        const proof = host === undefined ? null : proveHost(file, host);
        const status = kept === null ? "missing" : kept === file.root ? "same" : "other";
        const { number, time, root } = file;
        sayReadAt(at);
        if (json)
          printJson({
            ...{ schema: "pims.ledger-checkpoint/v1", status, number: `${number}`, time },
            root,
            proof,
            at: readAtJson(at),
          });
        else {
          printLine(`checkpoint ${number} of ${printable(time)}: ${TEXTS[status]}`);
          if (proof !== null) printLine(printable(proof.line));
        }
        return { same: EXIT.good, other: EXIT.findings, missing: EXIT.undetermined }[status];
      }),
    );
}

const TEXTS = {
  same: "what the ledger has",
  other: "not what the ledger has: the file was changed, or the verifier said something else then",
  missing: "the ledger has no checkpoint of this number from this reporter",
};
