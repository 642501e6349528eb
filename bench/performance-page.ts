import type { LossRow } from "./pairing.ts";
import type { AgentResult, Conditions, ExecResult, ExecTimesRow, LossResult, Results } from "./results.ts";

const NONE = "No whole run on a quiet machine has been kept yet: `npm run bench` measures and writes it here.";

/** docs/performance.md with what was measured in its marked places. Throws when a place is missing. */
export function performancePage(text: string, { loss, exec, agent }: Results): string {
  const places = {
    loss: loss === null ? NONE : lossTables(loss),
    exec: exec === null ? NONE : execTable(exec),
    agent: agent === null ? NONE : agentTable(agent),
  };
  return Object.entries(places).reduce((page, [name, content]) => put(page, name, content), text);
}

function put(page: string, name: string, content: string): string {
  const [begin, end] = [`<!-- npm run bench: ${name} -->\n`, `<!-- end of ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no place for ${name}`);
  return `${page.slice(0, from + begin.length)}\n${content}\n\n${page.slice(to)}`;
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function lossTables({ conditions, rows, agentCpuPercent, control, beside }: LossResult): string {
  const measured = beside.filter(({ notMeasured }) => notMeasured === null);
  const head = ["workload", "unit", "without", "with the agent", "lost", "agent's CPU", "lost to nothing"];
  const agent = rows.map((row, index) => [
    ...[row.workload, row.unit, row.without, row.with, loss(row), `${agentCpuPercent[index]} %`],
    loss(control[index]!),
  ]);
  const others = rows.map((row, index) => [row.workload, ...measured.map((tool) => loss(tool.rows[index]!))]);
  return [
    said(conditions, `${rows[0]?.tries} rounds of ${conditions.roundSeconds} s with the agent for each workload`),
    table(head, agent),
    ...(measured.length === 0
      ? []
      : [
          `In the same run, with ${measured.map(({ tool, rows: [row] }) => `${tool} ${row?.tries}`).join(" and ")} rounds:`,
          table(["workload", ...measured.map(({ tool }) => `lost to ${tool}`)], others),
        ]),
    ...beside.flatMap(({ tool, notMeasured }) =>
      notMeasured === null ? [] : [`${tool} was not measured: ${notMeasured}.`],
    ),
  ].join("\n\n");
}

function loss({ lossPercent, spreadPercent, betweenPercent }: LossRow): string {
  const between = betweenPercent === null ? "" : ` (${betweenPercent.join(" to ")})`;
  return `${lossPercent} %${between}, spread ${spreadPercent}`;
}

function execTable({ conditions, rows, beside }: ExecResult): string {
  const lines = (tool: string, measured: readonly ExecTimesRow[]) =>
    measured.map((row) => [
      ...[tool, row.exec, row.without.medianMicros, row.with.medianMicros],
      ...[row.without.p99Micros, row.with.p99Micros, row.with.samples],
    ]);
  return [
    said(conditions, "microseconds"),
    table(
      ["watched by", "exec", "median without", "median with", "p99 without", "p99 with", "starts with"],
      [...lines("the agent", rows), ...beside.flatMap(({ tool, rows: more }) => lines(tool, more))],
    ),
  ].join("\n\n");
}

function agentTable({ conditions, rows }: AgentResult): string {
  return [
    said(conditions, `the agent alone, watched for ${rows[0]?.seconds} s after it has settled`),
    table(
      ["processes", "containers", "CPU, of one core", "resident memory at most"],
      rows.map((row) => [row.processes, row.containers, `${row.cpuPercent} %`, `${row.residentMiB} MiB`]),
    ),
  ].join("\n\n");
}

function said({ time, kernel, processor, cores }: Conditions, how: string): string {
  return `Measured ${time.slice(0, 10)} on ${cores} cores (${processor}), Linux ${kernel}; ${how}.`;
}
