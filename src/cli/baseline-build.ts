import type { Command } from "commander";
import {
  type BuiltImage,
  buildFromArchive,
  buildFromArchiveFile,
  buildFromFolder,
  buildFromOciLayout,
} from "../baseline/build.ts";
import { applyEdits, type Edits, joinEdits, listedPaths, readEdits } from "../baseline/edits.ts";
import { writeBaselineFile } from "../baseline/file.ts";
import { parsePlatform } from "../baseline/platform.ts";
import { exportImage } from "../container/docker.ts";
import { saveContainerdImage, savePodmanImage } from "../container/saved-image.ts";
import { printable, toHex } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { summary } from "./baseline-views.ts";
import { action, append } from "./command.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";
import { Progress } from "./progress.ts";

interface BuildOptions {
  docker?: string;
  podman?: string;
  containerd?: string;
  namespace?: string;
  oci?: string;
  archive?: string;
  rootfs?: string;
  image?: string;
  platform?: string;
  name?: string;
  port: string[];
  allow: string[];
  allowJit: string[];
  denyJit: string[];
  edits?: string;
  output: string;
  json?: boolean;
}

export function addBaselineBuild(baseline: Command): void {
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
    .option(
      "--allow <path|digest>",
      "a file of the image that counts as a script, or sha256:… of code from elsewhere; may be given again",
      append,
      [],
    )
    .option("--allow-jit <path>", "a program or library that may make code as it runs; may be given again", append, [])
    .option("--deny-jit <path>", "one that was found to and may not", append, [])
    .option("--edits <file>", "a file that says the same as these options, kept beside the image")
    .requiredOption("--output <file>", "where to write it, a line an entry")
    .option("--json", "print one object (pims.baseline-build/v1)")
    .action(
      action(async (options: BuildOptions) => {
        const edits = await editsOf(options);
        const { baseline: image, aliases } = await buildShown(options, listedPaths(edits));
        const built = applyEdits(image, edits);
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
}

async function editsOf({ port, allow, allowJit, denyJit, edits }: BuildOptions): Promise<Edits> {
  const given = { ports: port, allow, allowJit, denyJit };
  return edits === undefined ? given : joinEdits(await readEdits(edits), given);
}

async function buildShown(options: BuildOptions, listed: readonly string[]): Promise<BuiltImage> {
  const progress = new Progress();
  progress.step("reading the image");
  try {
    return await build(options, listed);
  } finally {
    progress.end();
  }
}

async function build(options: BuildOptions, listed: readonly string[]): Promise<BuiltImage> {
  const { docker, podman, containerd, namespace, oci, archive, rootfs, image } = options;
  const sources = [docker, podman, containerd, oci, archive, rootfs].filter((given) => given !== undefined);
  if (sources.length !== 1)
    throw new PimsError(
      "usage",
      "a baseline is built from exactly one of --docker, --podman, --containerd, --oci, --archive and --rootfs",
    );
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const wanted = { image, platform, listed, name: options.name };
  const called = { ...wanted, name: options.name ?? sources[0]! };
  if (docker !== undefined) return buildFromArchive(await exportImage(docker), called);
  if (podman !== undefined) return buildFromArchive(savePodmanImage(podman), called);
  if (containerd !== undefined)
    return buildFromArchive(saveContainerdImage(containerd, { namespace, platform }), called);
  if (oci !== undefined) return buildFromOciLayout(oci, wanted);
  if (archive !== undefined) return buildFromArchiveFile(archive, wanted);
  if (image !== undefined || platform !== undefined)
    throw new PimsError("usage", "a root file system has no images or platforms to choose from");
  return { baseline: await buildFromFolder({ root: rootfs!, name: called.name, listed }), aliases: [] };
}
