import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AgentCostRow } from "./agent-cost.ts";
import type { ExecRow, LossRow } from "./pairing.ts";

/** How and where was measured. */
export interface Conditions {
  readonly time: string;
  readonly kernel: string;
  readonly processor: string;
  readonly cores: number;
  /** Of one round of one workload. */
  readonly roundSeconds: number;
}

/** What another program cost in the same run, or why it was not measured. */
export interface Beside<Row> {
  readonly tool: string;
  readonly notMeasured: string | null;
  readonly rows: readonly Row[];
}

export interface LossResult {
  readonly schema: "pims.bench-loss/v1";
  readonly conditions: Conditions;
  /** What the agent costs. */
  readonly rows: readonly LossRow[];
  /** The agent's processor time during the work, in percent of one core, in the order of the rows. */
  readonly agentCpuPercent: readonly number[];
  /** What is said to be lost when nothing differs. */
  readonly control: readonly LossRow[];
  readonly beside: readonly Beside<LossRow>[];
}

export interface ExecTimesRow {
  readonly exec: "first" | "repeated";
  readonly without: ExecRow;
  readonly with: ExecRow;
}

export interface ExecResult {
  readonly schema: "pims.bench-exec/v1";
  readonly conditions: Conditions;
  readonly rows: readonly ExecTimesRow[];
  readonly beside: readonly Beside<ExecTimesRow>[];
}

export interface AgentResult {
  readonly schema: "pims.bench-agent/v1";
  readonly conditions: Conditions;
  readonly rows: readonly AgentCostRow[];
}

/** What the last whole run measured; null what none did yet. */
export interface Results {
  readonly loss: LossResult | null;
  readonly exec: ExecResult | null;
  readonly agent: AgentResult | null;
}

export const RESULTS = join(import.meta.dirname, "results");

export function readResults(folder = RESULTS): Results {
  return { loss: read(folder, "loss"), exec: read(folder, "exec"), agent: read(folder, "agent") };
}

function read<T>(folder: string, name: string): T | null {
  try {
    return JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
