import { createReadStream } from "node:fs";
import { type Command, Option } from "commander";
import { MAX_BUNDLE_BYTES, parseBundle } from "../attest/bundle.ts";
import { CONSENSUS, type Consensus, sealedBlocks } from "../attest/sealed-blocks.ts";
import { pinSchema } from "../attest/verifier-address.ts";
import { type BundleReport, verifyBundle } from "../attest/verify-bundle.ts";
import { printable } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { readRoots } from "../tpm/certificate/roots.ts";
import { action, append } from "./command.ts";
import { describeFinding, shortDigest, shortId } from "./describe.ts";
import { colourStatus, EXIT, printJson, printLine, say, table } from "./output.ts";

/** Seconds between a sealed block and the evidence: a verifier reads a chain's newest block, and does so all the time. */
const MAX_BLOCK_AGE = 300;

interface VerifyOptions {
  readonly ak: string[];
  readonly baseline: string[];
  readonly block: string[];
  readonly validator: string[];
  readonly consensus?: Consensus;
  readonly chainId?: string;
  readonly maxBlockAge?: string;
  readonly registry: string[];
  readonly checkpoints?: string;
  readonly reporter?: string;
  readonly verifierKey: string[];
  readonly roots?: string;
  readonly undated?: boolean;
  readonly json?: boolean;
}

export function addVerify(program: Command): void {
  program
    .command("verify")
    .description("check a bundle of evidence again, offline, and say on whose word the rest rests")
    .argument("<bundle>", "file that 'pims bundle export' wrote")
    .option("--ak <name>", "Name of an attestation key that you know to be in a TPM; may be given again", append, [])
    .option("--baseline <root>", "root of a baseline that you know to be good; may be given again", append, [])
    .option("--block <hash>", "hash of a block that you know to be the ledger's; may be given again", append, [])
    .option("--validator <address>", "give all validators of the ledger instead of --block", append, [])
    .addOption(new Option("--consensus <rules>", "by which these validators seal blocks").choices(CONSENSUS))
    .option("--chain-id <number>", "and the number of their chain")
    .option(
      "--max-block-age <seconds>",
      `how much older than the evidence a block may be that they have sealed (default ${MAX_BLOCK_AGE}), or 'unlimited'`,
    )
    .option("--registry <address>", "registry whose baselines you take, with --block; may be given again", append, [])
    .option("--checkpoints <address>", "ask for a checkpoint in this contract, with --block and --reporter")
    .option("--reporter <address>", "the verifier's address there")
    .option("--verifier-key <pin>", "key of a verifier whose word you take: sha256:…; may be given again", append, [])
    .option("--roots <folder>", "certificates of TPM makers: the TPM must be of one of them")
    .option("--undated", "do not ask when it was: that the host was so once is enough")
    .option("--json", "print one object (pims.verify/v1)")
    .addHelpText(
      "after",
      "\nExit status: 0 trusted, 1 could not be checked, 2 untrusted or bad evidence, 3 not determined",
    )
    .action(
      action(async (file: string, options: VerifyOptions) => {
        const ledger = ledgerAnchors(options);
        const bundle = parseBundle(await readBundle(file));
        const { validators } = ledger;
        const sealed = validators === null ? null : await sealedBlocks(bundle, validators);
        for (const text of sealed?.refusals ?? []) say(`pims: ${printable(text)}`);
        const report = verifyBundle(bundle, {
          keys: options.ak.map((name) => hexOf(name, /^([0-9a-f]{2}){34,66}$/, "the Name of a key")),
          baselines: options.baseline.map((root) => hexOf(root, /^[0-9a-f]{64}$/, "a Merkle root")),
          ...ledger,
          sealed: validators && sealed && { ...validators, hashes: sealed.hashes },
          verifiers: options.verifierKey.map(pin),
          roots: options.roots === undefined ? null : await readRoots(options.roots),
          undated: options.undated === true,
        });
        if (options.json) printJson({ schema: "pims.verify/v1", ...report });
        else printReport(report, bundle.evidence.acceptedAt);
        return { trusted: EXIT.good, untrusted: EXIT.findings, unknown: EXIT.undetermined }[report.verdict];
      }),
    );
}

/** A block is worth nothing without the contract's address, since anybody can deploy another, and the other way round. */
function ledgerAnchors(options: VerifyOptions) {
  const { block, validator, registry, checkpoints, reporter } = options;
  if ((checkpoints === undefined) !== (reporter === undefined))
    throw new PimsError("usage", "'--checkpoints' and '--reporter' are given together");
  if (block.length + validator.length > 0 !== (registry.length > 0 || reporter !== undefined))
    throw new PimsError(
      "usage",
      "a block ('--block', '--validator') is given together with '--registry', or with '--checkpoints' and '--reporter'",
    );
  return {
    blocks: block.map((hash) => `0x${hexOf(hash, /^[0-9a-f]{64}$/, "the hash of a block")}`),
    validators: validatorsOf(options),
    registries: registry.map(address),
    checkpoints:
      checkpoints === undefined || reporter === undefined
        ? null
        : { contract: address(checkpoints), reporter: address(reporter) },
  };
}

function validatorsOf({ validator, consensus, chainId, maxBlockAge, undated }: VerifyOptions) {
  if (validator.length === 0 && consensus === undefined && chainId === undefined && maxBlockAge === undefined)
    return null;
  if (validator.length === 0 || consensus === undefined || chainId === undefined)
    throw new PimsError("usage", "'--validator', '--consensus' and '--chain-id' are given together");
  if (undated && maxBlockAge !== "unlimited")
    throw new PimsError("usage", "with '--validator' and '--undated' nothing says how old a block is", {
      hint: "'--max-block-age unlimited' takes any block that they ever sealed, also one from before a revocation",
    });
  const maxAgeSeconds = maxBlockAge === "unlimited" ? null : secondsOf(maxBlockAge ?? `${MAX_BLOCK_AGE}`);
  return { consensus, addresses: validator.map(address), chainId: chainNumber(chainId), maxAgeSeconds };
}

function secondsOf(value: string): number {
  if (/^\d{1,10}$/.test(value)) return Number(value);
  throw new PimsError("usage", `${JSON.stringify(value.slice(0, 80))} is no number of seconds`, {
    hint: "'--max-block-age unlimited' is without a bound",
  });
}

const address = (value: string): string => `0x${hexOf(value, /^[0-9a-f]{40}$/, "an address")}`;

function chainNumber(value: string): string {
  if (/^[1-9]\d{0,76}$/.test(value)) return value;
  throw new PimsError("usage", `${JSON.stringify(value.slice(0, 80))} is not the number of a chain`);
}

function pin(value: string): string {
  if (pinSchema.safeParse(value).success) return value;
  throw new PimsError("usage", `${JSON.stringify(value.slice(0, 80))} is not the pin of a verifier's key`, {
    hint: "'pims verifier run' prints it: sha256: and 44 characters of base64",
  });
}

function hexOf(value: string, form: RegExp, what: string): string {
  const hex = value.toLowerCase().replace(/^0x/, "");
  if (form.test(hex)) return hex;
  throw new PimsError("usage", `${JSON.stringify(value.slice(0, 80))} is not ${what} in hexadecimal`);
}

async function readBundle(path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      chunks.push(chunk as Uint8Array);
      size += (chunk as Uint8Array).length;
      if (size > MAX_BUNDLE_BYTES)
        throw new PimsError("bundle-malformed", `${path} is larger than a bundle of evidence can be`);
    }
    return new Uint8Array(Buffer.concat(chunks));
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    throw new PimsError("file-unreadable", `${path} cannot be read (${errorCode(cause)})`, { cause });
  }
}

function printReport(
  { verdict, host, checks, trust, results, links, containers }: BundleReport,
  acceptedAt: string,
): void {
  printLine(`evidence of host ${printable(host)}, accepted at ${acceptedAt} as the bundle says`);
  printLine();
  const rows = checks.map(({ check, outcome, text }) => [check, colourStatus(outcome), printable(text)]);
  printLine(table([["CHECK", "OUTCOME", ""], ...rows]));
  printLine();
  const words = trust.map(({ trust: what, by, text }) => [what, colourStatus(by), printable(text)]);
  printLine(table([["TRUST IN", "RESTS ON", ""], ...words]));
  if (results !== null) printLine(`the verifier said at ${results.issuedAt}: ${results.status}`);
  for (const { link, state, text } of links ?? []) printLine(`${link} ${colourStatus(state)}: ${printable(text)}`);
  printLine();
  if (containers.length === 0) printLine("no container");
  else
    printLine(
      table([
        ["CONTAINER", "ID", "IMAGE", "VERDICT", "REASONS"],
        ...containers.map(({ container, imageName, status, reasons, findings }) => [
          printable(container.name),
          `${container.runtime} ${shortId(container.id)}`,
          `${printable(imageName ?? "-")} ${shortDigest(container.image)}`,
          colourStatus(status),
          [...new Set([...findings, ...reasons].map(({ reason }) => reason))].join(" ") || "-",
        ]),
      ]),
    );
  for (const { findings, reasons } of containers) {
    for (const { reason, text } of reasons) printLine(`  ${reason}: ${printable(text)}`);
    for (const line of findings.flatMap(describeFinding)) printLine(`  ${line}`);
  }
  printLine();
  printLine(colourStatus(verdict));
}
