import type { Command } from "commander";
import { requestJson } from "../attest/http.ts";
import { attestSchema, type ContainerReport, type HostReport, statusSchema } from "../attest/report.ts";
import { exitStatusOf } from "../attest/verdict.ts";
import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { action } from "./command.ts";
import { describeFinding, shortDigest, shortId } from "./describe.ts";
import { colourStatus, EXIT, printJson, printLine, say, table } from "./output.ts";
import { readJoinToken, verifierUrl } from "./verifier-address.ts";

const TIMEOUT_MS = 10_000;

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("the verifier's verdicts on all hosts and their containers")
    .argument("[container]", "only this one, by name or by the beginning of its id")
    .option("--verifier <url>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--stopped", "also containers that have stopped")
    .option("--json", "print one object (pims.status/v1)")
    .addHelpText("after", "\nExit status: 0 all trusted, 1 failed, 2 something untrusted, 3 something not determined")
    .action(
      action(async (wanted: string | undefined, options: { verifier?: string; stopped?: boolean; json?: boolean }) => {
        const url = verifierUrl(options.verifier);
        const status = await requestJson(`${url}/v1/status`, statusSchema, { method: "GET", timeoutMs: TIMEOUT_MS });
        const hosts = status.hosts.map((host) => selectContainers(host, wanted, options.stopped === true));
        if (wanted !== undefined && hosts.every(({ containers }) => containers.length === 0))
          throw new PimsError("container-unknown", `the verifier knows no container ${JSON.stringify(wanted)}`, {
            hint: "'pims status' lists those that it knows, with --stopped also those of the past",
          });
        if (options.json) printJson({ ...status, hosts });
        else printHosts(hosts, wanted !== undefined);
        return exitStatusOfHosts(hosts);
      }),
    );
  program
    .command("attest")
    .description("ask a host for fresh evidence now and show what it proves")
    .argument("<host>", "the host's name at the verifier")
    .option("--verifier <url>", "address of the verifier (or PIMS_VERIFIER)")
    .option("--join-token <file>", "the verifier's join token", "/var/lib/pims/verifier/join-token")
    .option("--timeout <seconds>", "how long to wait for the agent", "10")
    .option("--json", "print one object (pims.attest/v1)")
    .addHelpText("after", "\nExit status: 0 all trusted, 1 failed, 2 something untrusted, 3 something not determined")
    .action(
      action(
        async (host: string, options: { verifier?: string; joinToken: string; timeout: string; json?: boolean }) => {
          const url = verifierUrl(options.verifier);
          const seconds = Number(options.timeout);
          if (!(seconds > 0 && seconds <= 30)) throw new PimsError("usage", "the timeout must be 1 to 30 seconds");
          const token = await readJoinToken(options.joinToken);
          const answer = await requestJson(
            `${url}/v1/hosts/${encodeURIComponent(host)}/attest?waitMs=${Math.round(seconds * 1000)}`,
            attestSchema,
            { method: "POST", token, body: {}, timeoutMs: seconds * 1000 + TIMEOUT_MS },
          );
          const shown = selectContainers(answer.host, undefined, false);
          if (options.json) printJson({ ...answer, host: shown });
          else {
            if (answer.outcome === null) say(`pims: the agent on ${host} gave no evidence within ${seconds} s`);
            else if (!answer.outcome.accepted)
              say(`pims: the evidence is refused, ${answer.outcome.reason}: ${answer.outcome.text}`);
            printHosts([shown], false);
          }
          const status = exitStatusOfHosts([shown]);
          return answer.outcome?.accepted || status !== EXIT.good ? status : EXIT.undetermined;
        },
      ),
    );
}

function selectContainers(host: HostReport, wanted: string | undefined, stopped: boolean): HostReport {
  const containers = host.containers.filter(({ container, stoppedAt }) => {
    if (wanted !== undefined) return container.name === wanted || container.id.startsWith(wanted);
    return stopped || stoppedAt === null;
  });
  return { ...host, containers };
}

function exitStatusOfHosts(hosts: readonly HostReport[]): 0 | 2 | 3 {
  const worst = exitStatusOf(hosts.flatMap(({ containers }) => containers.map(({ status }) => status)));
  if (worst !== 0) return worst;
  // A verifier that knows no host, or a host without good evidence, has determined nothing.
  return hosts.length > 0 && hosts.every(({ evidence }) => evidence === "good") ? 0 : 3;
}

function printHosts(hosts: readonly HostReport[], whole: boolean): void {
  if (hosts.length === 0) printLine("no host is enrolled");
  for (const host of hosts) {
    const why = host.text === "" ? "" : ` (${host.reason ? `${host.reason}: ` : ""}${printable(host.text)})`;
    printLine(
      `host ${host.host}: evidence ${colourStatus(host.evidence)}${why}, ${host.records} records proved, last at ${host.acceptedAt ?? "-"}`,
    );
    const rows = host.containers.map(({ container, imageName, status, reasons, findings, actions, stoppedAt }) => [
      `  ${printable(container.name)}`,
      `${container.runtime} ${shortId(container.id)}`,
      `${printable(imageName ?? "-")} ${shortDigest(container.image)}`,
      colourStatus(status) + (stoppedAt === null ? "" : " (stopped)"),
      [...new Set([...findings, ...reasons].map(({ reason }) => reason))].join(" ") || "-",
      actions.map(({ action: done, outcome }) => `${done} ${outcome}`).join(" ") || "-",
    ]);
    if (rows.length > 0) printLine(table([["  CONTAINER", "ID", "IMAGE", "VERDICT", "REASONS", "ACTIONS"], ...rows]));
    for (const report of host.containers) if (report.status !== "trusted") printDetails(report, whole);
  }
}

const SHOWN_FINDINGS = 8;

/** What somebody needs who is woken by it: why, which process and file, what was done already, where to read on. */
function printDetails({ container, findings, reasons, actions }: ContainerReport, whole: boolean): void {
  const name = printable(container.name);
  printLine();
  printLine(`${name}:`);
  for (const { reason, text } of reasons) printLine(`  ${reason}: ${printable(text)}`);
  const shown = whole ? findings : findings.slice(0, SHOWN_FINDINGS);
  for (const line of shown.flatMap(describeFinding)) printLine(`  ${line}`);
  if (shown.length < findings.length) printLine(`  and ${findings.length - shown.length} more: pims status ${name}`);
  for (const { action, outcome, time, by, text } of actions)
    printLine(`  ${action} ${outcome} at ${time} by ${by}: ${printable(text)}`);
  printLine("  what each reason means and what to do: docs/findings.md");
}
