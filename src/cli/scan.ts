import { join } from "node:path";
import { type Command, Option } from "commander";
import { exitStatusOfScan, scan } from "../agent/scan.ts";
import type { Method } from "../process/address-space.ts";
import { requireRoot } from "../process/root.ts";
import { action } from "./command.ts";
import { printJson, printLine, say } from "./output.ts";
import { Progress } from "./progress.ts";
import { describeScan } from "./scan-text.ts";

function methodOption(): Option {
  const text = "which kernel interfaces to use: the newest there are, or what kernels before 6.7 offer";
  return new Option("--method <method>", text).choices(["auto", "fallback"]).default("auto");
}

interface Options {
  all?: boolean;
  images: boolean;
  cache: string;
  method: Method;
  json?: boolean;
}

export function addScan(program: Command): void {
  program
    .command("scan")
    .description(
      "sweep this machine's containers once: does anything run code that its image does not have? Needs no set-up",
    )
    .option("--all", "every process, not only those of containers")
    .option("--no-images", "do not read images: only what shows in memory is looked for")
    .option("--cache <folder>", "where what was read of images is kept", defaultCache())
    .addOption(methodOption())
    .option("--json", "print one object (pims.scan/v1)")
    .addHelpText(
      "after",
      "\nExit status: 0 nothing found, 1 failed, 2 findings, 3 something could not be read, or a container could not be judged by an image",
    )
    .action(
      action(async (options: Options) => {
        requireRoot("pims scan");
        const progress = new Progress();
        const report = await scan({
          scope: options.all ? "all" : "containers",
          method: options.method,
          cache: options.images ? options.cache : null,
          step: progress.step,
          report: (text) => {
            progress.end();
            say(`pims: ${text}`);
          },
        }).finally(() => progress.end());
        if (options.json) printJson(report);
        else for (const line of describeScan(report)) printLine(line);
        return exitStatusOfScan(report);
      }),
    );
}

function defaultCache(): string {
  return join(process.env.XDG_CACHE_HOME || "/var/cache", "pims", "baselines");
}
