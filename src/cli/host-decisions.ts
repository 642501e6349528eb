import type { Command } from "commander";
import { inviteAnswerSchema, revokeAnswerSchema } from "../attest/enrollment.ts";
import { requestJson } from "../attest/http.ts";
import { type HostReport, statusSchema } from "../attest/report.ts";
import { printable } from "../core/bytes.ts";
import { action } from "./command.ts";
import { describeNotice, describeTpm } from "./describe-tpm.ts";
import { colourStatus, EXIT, printJson, printLine, say, table } from "./output.ts";
import { readJoinToken, verifierAddress } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;
const JOIN_TOKEN = "/var/lib/pims/verifier/join-token";

interface Decision {
  readonly verifier?: string;
  readonly joinToken: string;
  readonly json?: boolean;
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
    .description("decide that a host may come: a token for one enrollment")
    .argument("<host>", "the name under which it will come")
    .option("--uncertified", "its TPM needs no certificate of a known maker")
    .option("--anew", "it begins anew, perhaps with another TPM; what was proved of it is forgotten")
    .option("--verifier <address>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--join-token <file>", "the verifier's join token", JOIN_TOKEN)
    .option("--json", "print one object (pims.host-enroll/v1)")
    .action(
      action(async (name: string, options: Decision & { uncertified?: boolean; anew?: boolean }) => {
        const body = { uncertified: options.uncertified === true, anew: options.anew === true };
        const { token, expiresAt } = await decide(name, "invite", options, body, inviteAnswerSchema);
        if (options.json) printJson({ schema: "pims.host-enroll/v1", host: name, token, expiresAt });
        else {
          printLine(token);
          say(`pims: with this token ${printable(name)} may be enrolled once, until ${expiresAt}`);
        }
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
    .option("--join-token <file>", "the verifier's join token", JOIN_TOKEN)
    .option("--json", "print one object (pims.host-revoke/v1)")
    .action(
      action(async (name: string, options: Decision & { reason: string }) => {
        const { revoked } = await decide(name, "revoke", options, { text: options.reason }, revokeAnswerSchema);
        if (options.json) printJson({ schema: "pims.host-revoke/v1", host: revoked });
        else printLine(`${printable(revoked)} is revoked`);
        return EXIT.good;
      }),
    );
}

async function decide<T>(
  host: string,
  what: "invite" | "revoke",
  options: Decision,
  body: unknown,
  schema: Parameters<typeof requestJson<T>>[2],
): Promise<T> {
  const token = await readJoinToken(options.joinToken);
  const address = await verifierAddress(options.verifier);
  return requestJson(address, `/v1/hosts/${encodeURIComponent(host)}/${what}`, schema, {
    method: "POST",
    token,
    body,
    timeoutMs: TIMEOUT_MS,
  });
}
