import type { Command } from "commander";
import { requestJson } from "../attest/http.ts";
import { statusSchema } from "../attest/report.ts";
import { PimsError } from "../core/errors.ts";
import { action } from "./command.ts";
import { describeLedger } from "./describe-ledger.ts";
import { exitStatusOfHosts, printHosts, selectContainers } from "./hosts.ts";
import { printJson, printLine } from "./output.ts";
import { verifierAddress } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("the verifier's verdicts on all hosts and their containers")
    .argument("[container]", "only this one, by name or by the beginning of its id")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--stopped", "also containers that have stopped")
    .option("--json", "print one object (pims.status/v1)")
    .addHelpText("after", "\nExit status: 0 all trusted, 1 failed, 2 something untrusted, 3 something not determined")
    .action(
      action(async (wanted: string | undefined, options: { verifier?: string; stopped?: boolean; json?: boolean }) => {
        const address = await verifierAddress(options.verifier);
        const status = await requestJson(address, "/v1/status", statusSchema, { method: "GET", timeoutMs: TIMEOUT_MS });
        const hosts = status.hosts.map((host) => selectContainers(host, wanted, options.stopped === true));
        if (wanted !== undefined && hosts.every(({ containers }) => containers.length === 0))
          throw new PimsError("container-unknown", `the verifier knows no container ${JSON.stringify(wanted)}`, {
            hint: "'pims status' lists those that it knows, with --stopped also those of the past; a new one is known from its host's next attestation on, and 'pims attest HOST' asks for it now",
          });
        if (options.json) printJson({ ...status, hosts });
        else {
          printHosts(hosts, wanted !== undefined);
          if (status.ledger !== null) printLine(["", ...describeLedger(status.ledger)].join("\n"));
        }
        return exitStatusOfHosts(hosts);
      }),
    );
}
