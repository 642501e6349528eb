import type { ContainerReport, HostReport } from "../attest/report.ts";
import { exitStatusOf } from "../attest/verdict.ts";
import { printable } from "../core/bytes.ts";
import { describeFinding, describeGate, shortDigest, shortId } from "./describe.ts";
import { describeBoots } from "./describe-boots.ts";
import { describeNotice, describeTpm } from "./describe-tpm.ts";
import { colourStatus, printLine, table } from "./output.ts";

/** A host with those of its containers that were asked for: one by name or id, or all that have not stopped. */
export function selectContainers(host: HostReport, wanted: string | undefined, stopped: boolean): HostReport {
  const containers = host.containers.filter(({ container, stoppedAt }) => {
    if (wanted !== undefined) return container.name === wanted || container.id.startsWith(wanted);
    return stopped || stoppedAt === null;
  });
  return { ...host, containers };
}

export function exitStatusOfHosts(hosts: readonly HostReport[]): 0 | 2 | 3 {
  const worst = exitStatusOf(hosts.flatMap(({ containers }) => containers.map(({ status }) => status)));
  if (worst !== 0) return worst;
  // A verifier that knows no host, or a host without good evidence, has determined nothing.
  return hosts.length > 0 && hosts.every(({ evidence }) => evidence === "good") ? 0 : 3;
}

export function printHosts(hosts: readonly HostReport[], whole: boolean): void {
  if (hosts.length === 0) printLine("no host is enrolled");
  for (const host of hosts) {
    const why = host.text === "" ? "" : ` (${host.reason ? `${host.reason}: ` : ""}${printable(host.text)})`;
    printLine(
      `host ${host.host}: evidence ${colourStatus(host.evidence)}${why}, ${host.records} records proved, last at ${host.acceptedAt ?? "-"}`,
    );
    printLine(`  ${describeTpm(host.tpm)}`);
    const notice = describeNotice(host.notice);
    if (notice !== undefined && host.reason !== host.notice?.reason) printLine(`  ${notice}`);
    const boots = describeBoots(host.boots);
    if (boots !== undefined) printLine(`  ${boots}`);
    for (const { link, state, text } of host.links ?? [])
      printLine(`  ${link} ${colourStatus(state)}: ${printable(text)}`);
    if (host.lastSweep !== null) printLine(`  ${describeCoverage(host.lastSweep)}`);
    if (host.longestUnprovedMs !== null)
      printLine(`  a violation waited ${host.longestUnprovedMs} ms at most between the host's log and this verifier`);
    const rows = host.containers.map(
      ({ container, imageName, status, reasons, findings, actions, gate, stoppedAt }) => [
        `  ${printable(container.name)}`,
        `${container.runtime} ${shortId(container.id)}`,
        `${printable(imageName ?? "-")} ${shortDigest(container.image)}`,
        colourStatus(status) + (stoppedAt === null ? "" : " (stopped)"),
        [...new Set([...findings, ...reasons].map(({ reason }) => reason))].join(" ") || "-",
        actions.map(({ action: done, outcome }) => `${done} ${outcome}`).join(" ") || "-",
        gate === null ? "-" : describeGate(gate),
      ],
    );
    if (rows.length > 0)
      printLine(table([["  CONTAINER", "ID", "IMAGE", "VERDICT", "REASONS", "ACTIONS", "GATE"], ...rows]));
    else if (host.evidence === "good" && !whole)
      printLine(
        `  no container ran on it then; one that is new shows after the next attestation: pims attest ${host.host}`,
      );
    for (const report of host.containers) if (report.status !== "trusted") printDetails(report, whole);
  }
}

function describeCoverage(sweep: NonNullable<HostReport["lastSweep"]>): string {
  const { processes, mappings, longestPauseMs, unreadable, scrubCycleMs } = sweep;
  const scrub =
    scrubCycleMs === null
      ? "code in memory not read again yet"
      : `all code in memory read again every ${seconds(scrubCycleMs)}`;
  const missed = unreadable === 0 ? "" : `, ${unreadable} unreadable`;
  return `last sweep: ${processes} processes, ${mappings} code mappings${missed}; longest pause ${seconds(longestPauseMs)}; ${scrub}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
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
