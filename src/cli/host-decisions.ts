import type { Command } from "commander";
import { describeIssue } from "../attest/api.ts";
import { inviteRequestSchema, revokeAnswerSchema } from "../attest/enrollment.ts";
import { requestJson } from "../attest/http.ts";
import { invite, operate, writeJoinFile } from "../attest/operator.ts";
import { type HostReport, statusSchema } from "../attest/report.ts";
import { hostOf, isLoopback, parseVerifierAddress } from "../attest/verifier-address.ts";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { action } from "./command.ts";
import { describeNotice, describeTpm } from "./describe-tpm.ts";
import { colourStatus, EXIT, printJson, printLine, say, table } from "./output.ts";
import { OPERATOR_TOKEN, type OperatorOptions, operated, verifierAddress } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;

interface Wish extends OperatorOptions {
  readonly uncertified?: boolean;
  readonly anew?: boolean;
  readonly uses: string;
  readonly hours: string;
  readonly output?: string;
}

export function addHostList(host: Command): void {
  host
    .command("list")
    .description("the hosts, their TPMs and what was noticed about them")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--json", "print one object (pims.host-list/v1)")
    .action(
      action(async (options: { verifier?: string; json?: boolean }) => {
        const address = await verifierAddress(options.verifier);
        const { hosts } = await requestJson(address, "/v1/status", statusSchema, {
          method: "GET",
          timeoutMs: TIMEOUT_MS,
        });
        if (options.json) printJson({ schema: "pims.host-list/v1", hosts: hosts.map(withoutContainers) });
        else if (hosts.length === 0) printLine("no host is enrolled");
        else printLine(table([["HOST", "EVIDENCE", "TPM", "NOTICED"], ...hosts.map(rowOf)]));
        if (hosts.some(({ notice, evidence }) => notice !== null || evidence === "refused")) return EXIT.findings;
        return hosts.length > 0 && hosts.every(({ evidence }) => evidence === "good") ? EXIT.good : EXIT.undetermined;
      }),
    );
}

function withoutContainers({ host, evidence, reason, text, acceptedAt, tpm, notice }: HostReport) {
  return { host, evidence, reason, text, acceptedAt, tpm, notice };
}

function rowOf({ host, evidence, tpm, notice }: HostReport): string[] {
  return [host, colourStatus(evidence), describeTpm(tpm), describeNotice(notice) ?? "-"];
}

export function addHostEnroll(host: Command): void {
  host
    .command("enroll")
    .description("decide that a host may come: a join file for it, with the verifier's address, its pin and a token")
    .argument("[host]", "the name under which it will come; without it the file is for any host")
    .option("--uncertified", "its TPM needs no certificate of a known maker")
    .option("--anew", "it begins anew, perhaps with another TPM; what was proved of it is forgotten")
    .option("--uses <number>", "without a name: so many hosts", "1")
    .option("--hours <number>", "how long the token is good", "1")
    .option("--output <file>", "write it there, for its owner's eyes only, instead of printing it")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--operator-token <file>", "the operator's token", OPERATOR_TOKEN)
    .addHelpText(
      "after",
      "\nPrints one object (pims.join/v1): put it into the file that the agent's verifier.joinFile names.",
    )
    .action(
      action(async (name: string | undefined, options: Wish) => {
        const wish = inviteRequestSchema.safeParse({
          host: name ?? null,
          uncertified: options.uncertified === true,
          anew: options.anew === true,
          uses: Number(options.uses),
          hours: Number(options.hours),
        });
        if (!wish.success) throw new PimsError("usage", `that cannot be decided (${describeIssue(wish.error)})`);
        const joined = await invite(await operated(options), wish.data);
        if (options.output === undefined) printJson(joined);
        else await writeJoinFile(options.output, joined);
        const whom = name === undefined ? `${wish.data.uses} hosts` : `${printable(name)}, once,`;
        say(`pims: with this ${whom} may be enrolled until ${joined.expiresAt}`);
        const { url } = parseVerifierAddress(joined.verifier);
        if (isLoopback(hostOf(new URL(url))))
          say(`pims: it names the verifier ${url}, which only this machine reaches: listen.url tells how others do`);
        return EXIT.good;
      }),
    );
}

export function addHostRevoke(host: Command): void {
  host
    .command("revoke")
    .description("take no evidence of a host any more")
    .argument("<host>", "its name")
    .requiredOption("--reason <text>", "why, for whoever reads the verdicts")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--operator-token <file>", "the operator's token", OPERATOR_TOKEN)
    .option("--json", "print one object (pims.host-revoke/v1)")
    .action(
      action(async (name: string, options: OperatorOptions & { reason: string; json?: boolean }) => {
        const path = `/v1/hosts/${encodeURIComponent(name)}/revoke`;
        const body = { text: options.reason };
        const { revoked } = await operate(await operated(options), path, revokeAnswerSchema, { body });
        if (options.json) printJson({ schema: "pims.host-revoke/v1", host: revoked });
        else printLine(`${printable(revoked)} is revoked`);
        return EXIT.good;
      }),
    );
}
