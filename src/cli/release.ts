import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { makeReleaseManifest } from "../agent/make-release.ts";
import { action } from "./command.ts";
import { EXIT, printJson, printLine } from "./output.ts";

interface ManifestOptions {
  output: string;
  folder: string;
  installedAt?: string;
  runtime?: string[];
  json?: boolean;
}

export function addRelease(program: Command): void {
  const release = program.command("release").description("what a release of the agent consists of");
  release
    .command("manifest")
    .description("list the agent's files and the container runtime's programs with their digests, for verifiers")
    .requiredOption("--output <file>", "where to write the manifest")
    .option("--folder <folder>", "the agent's folder", join(import.meta.dirname, "../.."))
    .option("--installed-at <folder>", "where that folder is on the hosts, if elsewhere")
    .option("--runtime <paths...>", "programs of the container runtime (default: those that are installed)")
    .option("--json", "print one object (pims.release-manifest/v1)")
    .action(
      action(async ({ output, folder, installedAt, runtime, json }: ManifestOptions) => {
        const manifest = await makeReleaseManifest({ folder, installedAt, runtime });
        await writeFile(output, `${JSON.stringify(manifest)}\n`);
        const [agentFiles, programs] = [manifest.agent.files.length, manifest.runtime.files];
        if (json)
          printJson({ schema: "pims.release-manifest/v1", file: output, agentFiles, runtimeFiles: programs.length });
        else {
          printLine(`${agentFiles} files of the agent`);
          for (const { path, sha256 } of programs) printLine(`${sha256}  ${path}`);
        }
        return EXIT.good;
      }),
    );
}
