import type { ScannedContainer, ScanReport } from "../agent/scan.ts";
import { printable } from "../core/bytes.ts";
import type { Finding } from "../log/finding.ts";
import { colours as pc } from "./colours.ts";
import { describeFinding, shortDigest, shortId } from "./describe.ts";
import { table } from "./output.ts";

const SHOWN_PROCESSES = 16;

/** A scan for a person: each thing that was found once, then what was looked at and by what it was judged. */
export function describeScan(report: ScanReport): string[] {
  const { findings, notes, containers, coverage } = report;
  return [
    ...alike(findings).flatMap((group) => [...describeGroup(report, group), ""]),
    ...alike(notes).map((group) => pc.dim(describeNote(group))),
    ...coverage.missed.map((text) => pc.yellow(`could not be read: ${text}`)),
    ...(containers.length === 0 ? [] : [containerTable(containers), ""]),
    ...conclusion(report),
  ];
}

/** The same thing in several processes of a container is one thing. */
function alike(findings: readonly Finding[]): Finding[][] {
  const key = ({ reason, container, exe, object, pages }: Finding): string =>
    JSON.stringify([
      reason,
      container,
      reason === "anonymous-code" ? exe : [object.path, object.digest],
      pages.map(({ offset, actual }) => [offset, actual]),
    ]);
  return [...Map.groupBy(findings, key).values()];
}

function describeGroup({ changedFiles }: ScanReport, group: readonly Finding[]): string[] {
  const [first, ...others] = group;
  const { object, container } = first!;
  const lines = describeFinding(first!);
  const changed = changedFiles.find(
    (one) =>
      first!.reason === "file-modified" &&
      one.container === `${container?.runtime}:${container?.id}` &&
      one.found.digest === object.digest &&
      printable(one.path) === printable(object.path),
  );
  if (changed !== undefined) {
    const size = changed.found.size === null ? "" : `; found ${changed.found.size} bytes`;
    lines.push(`  image      has ${changed.expected.size} bytes there, sha256 ${changed.expected.digest}${size}`);
  }
  if (others.length > 0) lines.push(`  also in    ${processes(others)}`);
  return lines;
}

function describeNote(group: readonly Finding[]): string {
  const { exe, container } = group[0]!;
  const where = container === null ? "" : ` in ${printable(container.name)}`;
  return `note: ${printable(exe)}${where} makes code as it runs, as just-in-time compilers do: ${processes(group)}`;
}

function processes(findings: readonly Finding[]): string {
  const pids = [...new Set(findings.map(({ pid }) => pid))];
  const more = pids.length > SHOWN_PROCESSES ? ` and ${pids.length - SHOWN_PROCESSES} more` : "";
  return `${pids.length === 1 ? "process" : "processes"} ${pids.slice(0, SHOWN_PROCESSES).join(", ")}${more}`;
}

function containerTable(containers: readonly ScannedContainer[]): string {
  const rows = containers.map(({ container, imageName, processes: count, findings, baseline, notJudged }) => [
    printable(container.name),
    `${container.runtime} ${shortId(container.id)}`,
    `${printable(imageName ?? "-")} ${shortDigest(container.image)}`,
    String(count),
    findings > 0 ? pc.red(String(findings)) : "none",
    baseline === null ? pc.yellow(`nothing: ${printable(notJudged ?? "")}`) : judgedBy(baseline),
  ]);
  return table([["CONTAINER", "ID", "IMAGE", "PROCESSES", "FINDINGS", "JUDGED BY"], ...rows]);
}

function judgedBy({ from, identity, entries, cached }: NonNullable<ScannedContainer["baseline"]>): string {
  const what = from === "image" ? "its image" : "the read-only folder below its root file system";
  return `${what}, ${entries} programs, libraries and scripts${from === "image" ? "" : ` (${shortDigest(identity)})`}${cached ? ", read before" : ""}`;
}

function conclusion({ findings, coverage }: ScanReport): string[] {
  const { containers, judged, scope, images } = coverage;
  const host = scope === "all" ? "the host's own processes" : "";
  if (containers === 0 && host === "")
    return ["no container runs here, so nothing was looked at; 'pims scan --all' looks at the host's own processes"];
  const seen = [containers === 0 ? "" : count(containers, "container"), host].filter((text) => text !== "");
  const lines = [
    `${findings.length === 0 ? "nothing found" : count(findings.length, "finding")} in ${seen.join(" and ")}: ` +
      `${count(coverage.processes, "process", "processes")}, ${count(coverage.mappings, "executable mapping")}`,
  ];
  const memoryOnly = "looked at only for changed code pages and for code that no file holds";
  if (!images && containers > 0) lines.push(`images were not used: containers were ${memoryOnly}`);
  else if (judged < containers)
    lines.push(
      pc.yellow(
        `${containers - judged} of ${count(containers, "container")} could not be judged by an image: ${memoryOnly}`,
      ),
    );
  if (host !== "") lines.push(`${host} have no image: ${memoryOnly}`);
  if (findings.length > 0) lines.push("what each reason means and what to do: docs/findings.md");
  return lines;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
