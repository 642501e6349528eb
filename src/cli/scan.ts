import { type Command, Option } from "commander";
import pc from "picocolors";
import { scan } from "../agent/scan.ts";
import type { Method } from "../process/address-space.ts";
import { requireRoot } from "../process/root.ts";
import { action } from "./command.ts";
import { describeFinding } from "./describe.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";

function methodOption(): Option {
  const text = "which kernel interfaces to use: the newest there are, or what kernels before 6.7 offer";
  return new Option("--method <method>", text).choices(["auto", "fallback"]).default("auto");
}

export function addScan(program: Command): void {
  program
    .command("scan")
    .description("sweep this machine's containers once: does anything run changed code? Needs no set-up")
    .option("--all", "every process, not only those of containers")
    .addOption(methodOption())
    .option("--json", "print one object (pims.scan/v1)")
    .addHelpText("after", "\nExit status: 0 nothing found, 1 failed, 2 findings, 3 something could not be read")
    .action(
      action(async (options: { all?: boolean; method: Method; json?: boolean }) => {
        requireRoot("pims scan");
        const report = await scan({
          scope: options.all ? "all" : "containers",
          method: options.method,
        });
        const { findings, notes, coverage } = report;
        if (options.json) printJson(report);
        else {
          for (const finding of findings) printLine(`${describeFinding(finding).join("\n")}\n`);
          for (const note of notes) printLine(pc.dim(`note: ${note.text} (a just-in-time compiler)`));
          for (const missed of coverage.missed) printLine(pc.yellow(`could not be read: ${missed}`));
          printLine(
            `${findings.length} findings in ${coverage.processes} processes of ${coverage.containers} containers` +
              `${coverage.scope === "all" ? " and the host" : ""}, ${coverage.mappings} executable mappings`,
          );
        }
        if (!options.all && coverage.containers === 0 && !options.json)
          say("pims: no container runs here; --all sweeps the host's own processes");
        if (findings.length > 0) return EXIT.findings;
        return coverage.missed.length > 0 ? EXIT.undetermined : EXIT.good;
      }),
    );
}
