import type { Command } from "commander";
import {
  type BuiltImage,
  buildFromArchive,
  buildFromArchiveFile,
  buildFromFolder,
  buildFromOciLayout,
} from "../baseline/build.ts";
import { readBaselineFile, writeBaselineFile } from "../baseline/file.ts";
import { editJitAllowance } from "../baseline/jit-allowance.ts";
import type { Baseline } from "../baseline/lines.ts";
import { parsePlatform } from "../baseline/platform.ts";
import { addPorts } from "../baseline/ports.ts";
import { exportImage } from "../container/docker.ts";
import { saveContainerdImage, savePodmanImage } from "../container/saved-image.ts";
import { printable, toHex } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import { readKeyFile } from "../ledger/keys.ts";
import { proposeBaseline } from "../ledger/propose.ts";
import { listBaselines, readBaseline, readProposedBaseline } from "../ledger/read-baseline.ts";
import { addBaselineDecisions } from "./baseline-decisions.ts";
import { action, append } from "./command.ts";
import { shortDigest } from "./describe.ts";
import { DEFAULT_LEDGER, type LedgerOptions, place, withLedger } from "./ledger-place.ts";
import { EXIT, printJson, printLine, say, table } from "./output.ts";

export function addBaseline(program: Command): void {
  const baseline = program.command("baseline").description("what an image promises, and its way to the ledger");

  baseline
    .command("build")
    .description("build a baseline from an image, not from a running container")
    .option("--docker <image>", "an image that the local Docker Engine has")
    .option("--podman <image>", "an image that Podman has")
    .option("--containerd <image>", "an image that containerd has, by its whole name")
    .option("--namespace <name>", "containerd's namespace")
    .option("--oci <folder>", "an OCI layout")
    .option("--archive <file>", "an archive of 'docker save', or an OCI layout as one; compressed or not")
    .option("--rootfs <folder>", "a root file system")
    .option("--image <name>", "which of several images: a name, or a digest of its configuration, manifest or index")
    .option("--platform <os/arch>", "which platform of several, such as linux/arm64")
    .option("--name <name>", "a name for it, instead of its own")
    .option("--port <port>", "a port that the image listens on, such as tcp/80; may be given again", append, [])
    .option("--allow-jit <path>", "a program or library that may make code as it runs; may be given again", append, [])
    .option("--deny-jit <path>", "one that was found to and may not", append, [])
    .requiredOption("--output <file>", "where to write it, a line an entry")
    .option("--json", "print one object (pims.baseline-build/v1)")
    .action(
      action(async (options: BuildOptions) => {
        const { baseline: image, aliases } = await build(options);
        const built = editJitAllowance(addPorts(image, options.port), {
          allow: options.allowJit,
          deny: options.denyJit,
        });
        await writeBaselineFile(options.output, built);
        if (options.json)
          printJson({ schema: "pims.baseline-build/v1", ...summary(built), aliases, file: options.output });
        else {
          printLine(`${built.header.identity}`);
          say(
            `pims: ${built.entries.length} entries of ${printable(built.header.name)}, root ${toHex(built.root)}, in ${options.output}`,
          );
          for (const path of built.header.jit) say(`pims: ${printable(path)} may make code as it runs`);
        }
        return EXIT.good;
      }),
    );

  withLedger(baseline.command("publish"))
    .description("propose a baseline on the ledger, as its first signer")
    .argument("<file>", "what 'pims baseline build' wrote")
    .requiredOption("--key <file>", "a publisher's key")
    .option("--json", "print one object (pims.baseline-publish/v1)")
    .action(
      action(async (file: string, options: LedgerOptions & { key: string; json?: boolean }) => {
        const { lines } = await readBaselineFile(file);
        const key = await readKeyFile(options.key);
        const { id, root, transactions, gas } = await proposeBaseline({ ...place(options), key, lines });
        if (options.json)
          printJson({ schema: "pims.baseline-publish/v1", id, root: toHex(root), transactions, gas: Number(gas) });
        else {
          printLine(id);
          say("pims: proposed; it is a baseline once enough publishers approve it: pims baseline approve");
        }
        return EXIT.good;
      }),
    );

  addBaselineDecisions(baseline);

  withLedger(baseline.command("list"))
    .description("the images that the ledger knows")
    .option("--json", "print one object (pims.baseline-list/v1)")
    .action(
      action(async (options: LedgerOptions & { json?: boolean }) => {
        const listed = await listBaselines(place(options));
        if (options.json) printJson({ schema: "pims.baseline-list/v1", baselines: listed });
        else if (listed.length === 0) printLine("the ledger has no baseline");
        else
          printLine(
            table([
              ["IDENTITY", "STATUS", "ENTRIES", "PROPOSAL", "ENDS"],
              ...listed.map((one) => [
                one.identity,
                one.status,
                String(one.lines - 1),
                one.id,
                one.until === 0 ? "" : rfc3339(one.until * 1000),
              ]),
            ]),
          );
        return EXIT.good;
      }),
    );

  baseline
    .command("show")
    .description("show a baseline: a file's, or the ledger's for an image identity or a proposal")
    .argument("<file|identity|proposal>", "a file, sha256:… or 0x…")
    .option("--ledger <url>", "JSON-RPC endpoint", DEFAULT_LEDGER)
    .option("--registry <address>", "address of the registry")
    .option("--json", "print one object (pims.baseline-show/v1)")
    .addHelpText("after", "\nExit status: 0 shown, 1 failed, 3 the ledger has no approved baseline for the image")
    .action(
      action(async (which: string, options: { ledger: string; registry?: string; json?: boolean }) => {
        const found = await find(which, options);
        if (found === null) {
          say(`pims: the ledger has no approved baseline for ${printable(which)}`);
          return EXIT.undetermined;
        }
        if (options.json)
          printJson({
            schema: "pims.baseline-show/v1",
            ...summary(found.baseline),
            status: found.status,
            lines: found.baseline.lines.map((line) => JSON.parse(line)),
          });
        else show(found.baseline, found.status);
        return EXIT.good;
      }),
    );
}

interface BuildOptions {
  docker?: string;
  podman?: string;
  containerd?: string;
  namespace?: string;
  oci?: string;
  image?: string;
  platform?: string;
  archive?: string;
  rootfs?: string;
  name?: string;
  port: string[];
  allowJit: string[];
  denyJit: string[];
  output: string;
  json?: boolean;
}

async function build(options: BuildOptions): Promise<BuiltImage> {
  const { docker, podman, containerd, namespace, oci, archive, rootfs, image } = options;
  const sources = [docker, podman, containerd, oci, archive, rootfs].filter((given) => given !== undefined);
  if (sources.length !== 1)
    throw new PimsError(
      "usage",
      "a baseline is built from exactly one of --docker, --podman, --containerd, --oci, --archive and --rootfs",
    );
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const wanted = { image, platform, name: options.name };
  const called = { ...wanted, name: options.name ?? sources[0]! };
  if (docker !== undefined) return buildFromArchive(await exportImage(docker), called);
  if (podman !== undefined) return buildFromArchive(savePodmanImage(podman), called);
  if (containerd !== undefined)
    return buildFromArchive(saveContainerdImage(containerd, { namespace, platform }), called);
  if (oci !== undefined) return buildFromOciLayout(oci, wanted);
  if (archive !== undefined) return buildFromArchiveFile(archive, wanted);
  if (image !== undefined || platform !== undefined)
    throw new PimsError("usage", "a root file system has no images or platforms to choose from");
  return { baseline: await buildFromFolder({ root: rootfs!, name: called.name }), aliases: [] };
}

async function find(
  which: string,
  options: { ledger: string; registry?: string },
): Promise<{ baseline: Baseline; status: string } | null> {
  const onLedger = /^(sha256:[0-9a-f]{64}|0x[0-9a-f]{64})$/.test(which);
  if (!onLedger) return { baseline: await readBaselineFile(which), status: "file" };
  if (options.registry === undefined) throw new PimsError("usage", "to look at the ledger give --registry");
  const at = { url: options.ledger, registry: options.registry };
  if (which.startsWith("0x")) {
    const { baseline, proposal } = await readProposedBaseline({ ...at, id: which });
    return { baseline, status: proposal.status };
  }
  const read = await readBaseline({ ...at, identity: which });
  return read.status === "approved" ? { baseline: read.baseline, status: read.status } : null;
}

function show(baseline: Baseline, status: string): void {
  const { header, entries, root } = baseline;
  const list = (texts: readonly unknown[]) =>
    texts.length === 0 ? "-" : texts.map((text) => printable(text as string)).join(" ");
  printLine(
    table([
      ["identity", header.identity],
      ["name", printable(header.name)],
      ["status", status],
      ["architecture", header.architecture],
      ["entry point", list(header.entrypoint)],
      ["ports", list(header.ports)],
      ["may compile just in time", list(header.jit)],
      ["root", toHex(root)],
      ["entries", String(entries.length)],
    ]),
  );
  printLine();
  printLine(
    table(
      entries.map((entry) => [
        entry.kind,
        entry.size.toString(),
        shortDigest(entry.sha256),
        `${entry.segments.length} segments`,
        printable(entry.path),
      ]),
    ),
  );
}

function summary({ header, root }: Baseline): { identity: string; name: string; entries: number; root: string } {
  return { identity: header.identity, name: header.name, entries: header.entries, root: toHex(root) };
}
