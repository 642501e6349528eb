import type { Command } from "commander";
import { agentConfigSchema } from "../agent/config.ts";
import { runAgent } from "../agent/run.ts";
import { readConfig } from "../core/config.ts";
import { action, untilSignal } from "./command.ts";
import { EXIT, say } from "./output.ts";

export function addAgent(program: Command): void {
  const agent = program.command("agent").description("the daemon that measures the containers of this host");
  agent
    .command("run")
    .description("run it until SIGINT or SIGTERM")
    .requiredOption(
      "--config <file>",
      "JSON: host, state, tpm, pcr, verifier, ledger, policy … (docs/configuration.md)",
    )
    .action(
      action(async (options: { config: string }) => {
        const config = await readConfig(options.config, agentConfigSchema);
        await runAgent(config, untilSignal().signal, (text) => say(`pims: ${text}`));
        return EXIT.good;
      }),
    );
}
