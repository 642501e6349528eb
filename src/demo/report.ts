import type { VerdictStatus } from "../attest/verdict.ts";
import type { Finding, Reason } from "../log/finding.ts";

/** One container at the end of the demo. */
export interface DemoContainerReport {
  readonly name: string;
  readonly image: string;
  readonly verdict: VerdictStatus;
  readonly reasons: readonly Reason[];
  /** What was done to it. */
  readonly action: string;
  /** Whether it answers requests at the end, and how many it answered in all. */
  readonly answers: boolean;
  readonly requests: number;
}

/** One attack on a container. Times are milliseconds from the act. */
export interface AttackReport {
  readonly name: string;
  readonly container: string;
  readonly detected: boolean;
  readonly reason: Reason | null;
  /** Until the violation stood in the log; null when it was not detected. */
  readonly detectMs: number | null;
  /** Until the verifier's verdict said it. */
  readonly verdictMs: number | null;
  readonly action: string;
  /** Names process, file and, for changed code, the page with its expected and actual digest. */
  readonly finding: Finding | null;
  /** What did not hold, in sentences; empty when all did. */
  readonly problems: readonly string[];
}

/** One attack on the evidence. */
export interface TamperingReport {
  readonly name: string;
  readonly refused: boolean;
  readonly reason: string | null;
  readonly text: string;
  readonly problems: readonly string[];
}

export interface DemoReport {
  readonly schema: "pims.demo/v1";
  readonly runtime: "docker" | "runc";
  readonly tpm: string;
  readonly containers: readonly DemoContainerReport[];
  readonly attacks: readonly AttackReport[];
  readonly tampering: readonly TamperingReport[];
  /** What else did not hold. */
  readonly problems: readonly string[];
  readonly durationMs: number;
  readonly ok: boolean;
}
