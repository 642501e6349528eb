import type { Command } from "commander";
import { readConfig } from "../core/config.ts";
import { verifierConfigSchema } from "../verifier/config.ts";
import { runVerifier } from "../verifier/run.ts";
import { action, untilSignal } from "./command.ts";
import { EXIT, say } from "./output.ts";

export function addVerifier(program: Command): void {
  const verifier = program.command("verifier").description("the service that appraises evidence and gives verdicts");
  verifier
    .command("run")
    .description("run it until SIGINT or SIGTERM")
    .requiredOption(
      "--config <file>",
      "JSON: state, listen, ledger, pcr, staleAfterMs, maxPauseMs, policy (docs/configuration.md)",
    )
    .action(
      action(async (options: { config: string }) => {
        const config = await readConfig(options.config, verifierConfigSchema);
        const stop = untilSignal();
        const running = await runVerifier(config, (text) => say(`pims: ${text}`));
        say(`pims: the verifier listens on ${running.url}`);
        if (!stop.signal.aborted)
          await new Promise((resolve) => stop.signal.addEventListener("abort", resolve, { once: true }));
        await running.close();
        return EXIT.good;
      }),
    );
}
