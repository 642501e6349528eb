import type { Command } from "commander";
import { requestJson } from "../attest/http.ts";
import { operate } from "../attest/operator.ts";
import { attestSchema, earAnswerSchema } from "../attest/report.ts";
import { PimsError } from "../core/errors.ts";
import { action } from "./command.ts";
import { exitStatusOfHosts, printHosts, selectContainers } from "./hosts.ts";
import { EXIT, printJson, printLine, say } from "./output.ts";
import { OPERATOR_TOKEN, type OperatorOptions, operated } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;

export function addAttest(program: Command): void {
  program
    .command("attest")
    .description("ask a host for fresh evidence now and show what it proves")
    .argument("<host>", "the host's name at the verifier")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--operator-token <file>", "the operator's token", OPERATOR_TOKEN)
    .option("--timeout <seconds>", "how long to wait for the agent", "10")
    .option("--ear", "print the verdicts as a token signed by the verifier (EAT Attestation Result, JWT)")
    .option("--json", "print one object (pims.attest/v1)")
    .addHelpText("after", "\nExit status: 0 all trusted, 1 failed, 2 something untrusted, 3 something not determined")
    .action(
      action(async (host: string, options: OperatorOptions & { timeout: string; ear?: boolean; json?: boolean }) => {
        const seconds = Number(options.timeout);
        if (!(seconds > 0 && seconds <= 30)) throw new PimsError("usage", "the timeout must be 1 to 30 seconds");
        const verifier = await operated(options);
        const answer = await operate(
          verifier,
          `/v1/hosts/${encodeURIComponent(host)}/attest?waitMs=${Math.round(seconds * 1000)}`,
          attestSchema,
          { timeoutMs: seconds * 1000 + TIMEOUT_MS },
        );
        const shown = selectContainers(answer.host, undefined, false);
        if (options.ear) {
          const path = `/v1/hosts/${encodeURIComponent(host)}/ear`;
          const request = { method: "GET", timeoutMs: TIMEOUT_MS } as const;
          printLine((await requestJson(verifier.address, path, earAnswerSchema, request)).ear);
        } else if (options.json) printJson({ ...answer, host: shown });
        else {
          if (answer.outcome === null) say(`pims: the agent on ${host} gave no evidence within ${seconds} s`);
          else if (!answer.outcome.accepted)
            say(`pims: the evidence is refused, ${answer.outcome.reason}: ${answer.outcome.text}`);
          printHosts([shown], false);
        }
        const status = exitStatusOfHosts([shown]);
        return answer.outcome?.accepted || status !== EXIT.good ? status : EXIT.undetermined;
      }),
    );
}
