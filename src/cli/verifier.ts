import { mkdir } from "node:fs/promises";
import type { Command } from "commander";
import { readConfig } from "../core/config.ts";
import { PimsError } from "../core/errors.ts";
import { verifierConfigSchema } from "../verifier/config.ts";
import { runVerifier } from "../verifier/run.ts";
import { openTlsIdentity, pinOfCertificate } from "../verifier/tls.ts";
import { action, untilSignal } from "./command.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";

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
        say(`pims: results are signed by ${running.resultsKey}`);
        say(`pims: orders are signed by ${running.ordersKey}`);
        if (running.publicAddress !== undefined) say(`pims: hosts reach it at ${running.publicAddress}`);
        say(`pims: the verifier listens on ${running.address}`);
        if (!stop.signal.aborted)
          await new Promise((resolve) => stop.signal.addEventListener("abort", resolve, { once: true }));
        await running.close();
        return EXIT.good;
      }),
    );
  verifier
    .command("pin")
    .description("the pin of the verifier's key, by which agents and commands know it")
    .option("--config <file>", "of the verifier with this configuration; its key is made if there is none yet")
    .option("--certificate <file>", "of a certificate in PEM, such as the next one")
    .option("--json", "print one object (pims.verifier-pin/v1)")
    .action(
      action(async (options: { config?: string; certificate?: string; json?: boolean }) => {
        const pin = await pinFor(options);
        if (options.json) printJson({ schema: "pims.verifier-pin/v1", pin });
        else printLine(pin);
        return EXIT.good;
      }),
    );
}

async function pinFor({ config, certificate }: { config?: string; certificate?: string }): Promise<string> {
  if ((config === undefined) === (certificate === undefined))
    throw new PimsError("usage", "give exactly one of --config and --certificate");
  if (certificate !== undefined) return pinOfCertificate(certificate);
  const { state, listen } = await readConfig(config!, verifierConfigSchema);
  if (listen.plain) throw new PimsError("usage", "a verifier without TLS has no key");
  await mkdir(state, { recursive: true, mode: 0o700 });
  return (await openTlsIdentity(state, listen.tls)).pin;
}
