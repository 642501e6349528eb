import { mkdir } from "node:fs/promises";
import type { Command } from "commander";
import { PimsError } from "../core/errors.ts";
import { deployContract, deployRegistry } from "../ledger/deploy.ts";
import { startAnvil } from "../ledger/embedded/anvil.ts";
import { generateKeyFile, readPassphraseFile } from "../ledger/keys/keys.ts";
import { EMBEDDED_CHAIN_WARNING } from "../ledger/ledger-view.ts";
import { MAX_PUBLISHERS } from "../ledger/registry-reads.ts";
import { action, untilSignal, wholeNumber } from "./command.ts";
import { addCheckpoint } from "./ledger-checkpoint.ts";
import { addGovernance } from "./ledger-governance.ts";
import { type ChainOptions, chainPlace, withChain } from "./ledger-place.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";
import { askNewPassphrase } from "./passphrase.ts";
import { awaited } from "./progress.ts";
import { readAtJson, sayWhetherShown } from "./read-at.ts";
import { type SigningOptions, signingKey, withSigningKey } from "./signing-key.ts";

interface Deploying extends SigningOptions, ChainOptions {
  contract: string;
  publisher?: string[];
  quorum: string;
  json?: boolean;
}

export function addLedger(program: Command): void {
  const ledger = program.command("ledger").description("the chain that keeps the baselines");
  ledger
    .command("start")
    .description(`run the embedded chain of one machine until SIGINT or SIGTERM (${EMBEDDED_CHAIN_WARNING})`)
    .option("--state <folder>", "folder of its journal", "/var/lib/pims/ledger")
    .option("--port <number>", "port on 127.0.0.1", "8545")
    .action(
      action(async (options: { state: string; port: string }) => {
        const port = wholeNumber("--port", options.port, 65_535);
        await mkdir(options.state, { recursive: true, mode: 0o700 });
        const stop = untilSignal();
        const chain = await startAnvil({ folder: options.state, port });
        say(`pims: the chain ${chain.chainId} answers on ${chain.url}`);
        say(`pims: ${EMBEDDED_CHAIN_WARNING}`);
        if (!stop.signal.aborted)
          await new Promise((resolve) => stop.signal.addEventListener("abort", resolve, { once: true }));
        await chain.stop();
        return EXIT.good;
      }),
    );
  ledger
    .command("key")
    .description("make a key for a publisher or deployer in a new, encrypted file and print its address")
    .argument("<file>")
    .option("--passphrase-file <file>", "what to encrypt it with; asked for on the terminal by default")
    .option("--import <file>", "encrypt the key of this file, 64 hexadecimal digits, instead of a fresh one")
    .option("--json", "print one object (pims.ledger-key/v1)")
    .action(
      action(async (path: string, options: { passphraseFile?: string; import?: string; json?: boolean }) => {
        const { passphraseFile, import: importFrom } = options;
        const passphrase =
          passphraseFile === undefined ? await askNewPassphrase() : await readPassphraseFile(passphraseFile);
        const { address } = await generateKeyFile({
          ...{ path, passphrase },
          ...(importFrom === undefined ? {} : { importFrom }),
        });
        if (options.json) printJson({ schema: "pims.ledger-key/v1", address, file: path });
        else printLine(address);
        return EXIT.good;
      }),
    );
  withSigningKey(withChain(ledger.command("deploy")), "the deployer's key, which gets no right by it")
    .description("deploy a contract: the registry of baselines with its first publishers, or one of the others")
    .option("--contract <name>", "registry, hosts or checkpoints", "registry")
    .option("--publisher <address...>", "addresses of the registry's publishers")
    .option("--quorum <number>", "how many of them must sign a baseline, at least 2", "2")
    .option("--json", "print one object (pims.ledger-deploy/v1)")
    .action(
      action(async (options: Deploying) => {
        const deployed = await awaited("deploying it", deploy(options));
        const block = Number(deployed.block);
        if (options.json)
          printJson({
            ...{ schema: "pims.ledger-deploy/v1", [options.contract]: deployed.address, block },
            ...{ gas: Number(deployed.gas), at: readAtJson(deployed.at) },
          });
        else printLine(deployed.address);
        if (deployed.at === null) say(`pims: ${howToCheck(options.contract, deployed.address)}`);
        return sayWhetherShown(deployed.at);
      }),
    );
  addGovernance(ledger);
  addCheckpoint(ledger);
}

const OTHERS = new Map([
  ["hosts", "HostRegistry"],
  ["checkpoints", "Checkpoints"],
] as const);

/** Instead of deploying again, which makes another contract. */
function howToCheck(contract: string, address: string): string {
  if (contract === "registry")
    return `do not deploy again yet: see whether pims ledger publishers --registry ${address} shows its publishers`;
  return `do not deploy again yet: the verifier whose configuration names ${address} says whether it is proved to be there`;
}

async function deploy({ contract, publisher, quorum, ...options }: Deploying) {
  const other = OTHERS.get(contract as "hosts" | "checkpoints");
  if (contract !== "registry" && other === undefined)
    throw new PimsError("usage", "a contract is registry, hosts or checkpoints");
  if ((other === undefined) !== (publisher !== undefined))
    throw new PimsError("usage", "the registry is deployed with --publisher, the other contracts without");
  const wanted = wholeNumber("--quorum", quorum, MAX_PUBLISHERS);
  const deployerKey = await signingKey(options);
  const payer = { ...(await chainPlace(options)), deployerKey };
  if (other !== undefined) return deployContract(other, payer);
  return deployRegistry({ ...payer, publishers: publisher ?? [], quorum: wanted });
}
