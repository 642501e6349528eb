import { NOT_KNOWN_WHOSE } from "../log/event.ts";
import type { ContainerName, Finding, Reason } from "../log/finding.ts";
import {
  type ContainerState,
  findingKey,
  type HostState,
  isListenersFull,
  keyOf,
  MAX_CODE,
  MAX_PROCESS_STARTS,
} from "./host-state.ts";
import { judgeCode, type ReferenceValues } from "./judge.ts";
import { judgeListener } from "./judge-listener.ts";
import { isToldAsPreload, judgeProcessStarts } from "./judge-process-start.ts";
import { judgeStart } from "./judge-start.ts";
import type { ListenerPolicy } from "./listener-policy.ts";
import type { StartPolicy } from "./start-policy.ts";

export const STATUSES = ["trusted", "untrusted", "unknown", "stale", "unreachable"] as const;
export type VerdictStatus = (typeof STATUSES)[number];

/** Why a verdict is what it is, where that is no finding about a process. */
export interface VerdictReason {
  readonly reason: Reason;
  readonly text: string;
}

/** RATS: attestation result, for one container. */
export interface Verdict {
  readonly container: ContainerName;
  readonly imageName: string | null;
  readonly status: VerdictStatus;
  readonly reasons: VerdictReason[];
  readonly findings: Finding[];
}

/** The reference values for an image, or why there are none. */
export type BaselineLookup =
  | { readonly found: true; readonly reference: ReferenceValues }
  | { readonly found: false; readonly reason: Reason; readonly text: string };

/** Of a container whose image nobody names, or whose agent could not tell which one is named: why, by the log. */
export function noIdentity(unresolved: string | null): BaselineLookup {
  const text = unresolved ?? "the container's runtime does not say which image it was made of";
  return { found: false, reason: "no-baseline", text };
}

/** What is known about the host's evidence: good and fresh, refused, or too old. */
export type HostStanding =
  | { readonly standing: "good" }
  | { readonly standing: "refused"; readonly reason: Reason; readonly text: string }
  | { readonly standing: "stale"; readonly text: string };

/** What containers may do besides what their images say. The same must be given to agent and verifier. */
export interface JudgingPolicy {
  readonly starts?: StartPolicy;
  readonly listeners?: ListenerPolicy;
}

/**
 * Decides on one container. Pure. Findings condemn whatever else is the case, and stay; nothing else than good evidence,
 * a baseline and complete coverage makes `trusted`.
 */
export function decide(
  state: HostState,
  container: ContainerState,
  lookup: BaselineLookup,
  host: HostStanding,
  policy: JudgingPolicy = {},
): Verdict {
  const findings = findingsOf(container, lookup, policy);
  const reasons: VerdictReason[] = [];
  if (host.standing === "refused") reasons.push({ reason: host.reason, text: host.text });
  if (host.standing === "stale") reasons.push({ reason: "coverage-stale", text: host.text });
  if (!lookup.found) reasons.push({ reason: lookup.reason, text: lookup.text });
  const incomplete = incompleteCoverage(state, container);
  if (incomplete !== undefined) reasons.push({ reason: "coverage-incomplete", text: incomplete });
  const { container: name, imageName } = container;
  const status = statusOf(findings.length > 0, host.standing, reasons.length > 0);
  return { container: name, imageName, status, reasons, findings };
}

function statusOf(condemned: boolean, standing: HostStanding["standing"], doubtful: boolean): VerdictStatus {
  if (condemned) return "untrusted";
  if (standing === "refused") return "unknown";
  if (standing === "stale") return "stale";
  return doubtful ? "unknown" : "trusted";
}

/** What the agent found, and what the facts in its log say when they are judged here once more. */
function findingsOf(container: ContainerState, lookup: BaselineLookup, policy: JudgingPolicy): Finding[] {
  const reference = lookup.found ? lookup.reference : null;
  const findings = new Map<string, Finding>();
  for (const { time: _time, ...finding } of container.violations.values()) findings.set(findingKey(finding), finding);
  const { earlier } = container;
  const starts = [...container.processStarts.values(), ...earlier.processStarts.values()];
  const started = judgeProcessStarts(starts, reference, container.start);
  for (const finding of started) if (!findings.has(findingKey(finding))) findings.set(findingKey(finding), finding);
  for (const code of [...container.code.values(), ...earlier.code.values()]) {
    // Only a program in a memory file is wrong whatever the image says; the rest waits for a baseline, since findings stay.
    if (reference === null && !(code.backing === "memfd" && code.role === "executable")) continue;
    const finding = judgeCode(code, reference);
    if (finding === null || isToldAsPreload(finding, started)) continue;
    if (!findings.has(findingKey(finding))) findings.set(findingKey(finding), finding);
  }
  for (const finding of container.start === null
    ? []
    : judgeStart(container.container, container.start, reference, policy.starts ?? []))
    if (!findings.has(findingKey(finding))) findings.set(findingKey(finding), finding);
  for (const listener of [...container.listeners.values(), ...earlier.listeners.values()]) {
    const finding = judgeListener(listener, reference, policy.listeners ?? []);
    if (finding !== null && !findings.has(findingKey(finding))) findings.set(findingKey(finding), finding);
  }
  return [...findings.values()];
}

/** Containers that a sweep's event can name as incomplete (log/event.ts); there may have been more. */
const MAX_INCOMPLETE = 64;

function incompleteCoverage(state: HostState, container: ContainerState): string | undefined {
  const { earlier } = container;
  if (Math.max(container.code.size, earlier.code.size) >= MAX_CODE)
    return "more code was seen in the container than is remembered";
  if (Math.max(container.processStarts.size, earlier.processStarts.size) >= MAX_PROCESS_STARTS)
    return "programs were started in more ways than are remembered";
  if (isListenersFull(container.listeners, false) || isListenersFull(earlier.listeners, false))
    return "more listening sockets were seen than are remembered";
  if (container.stoppedAt !== null) return undefined;
  const sweep = state.lastSweep;
  if (sweep === null) return "no sweep of the host is known";
  if (sweep.unreadable === 0) return undefined;
  const mine = sweep.incomplete.find(
    ({ container: key }) => key === keyOf(container.container) || key === NOT_KNOWN_WHOSE,
  );
  if (mine !== undefined) return mine.text;
  const unnamed = sweep.incomplete.length === 0 || sweep.incomplete.length >= MAX_INCOMPLETE;
  return unnamed ? "something on the host could not be read" : undefined;
}

/** Exit status of a command that reports verdicts: the worst wins, 2 before 3 before 0. */
export function exitStatusOf(statuses: Iterable<VerdictStatus>): 0 | 2 | 3 {
  let worst: 0 | 2 | 3 = 0;
  for (const status of statuses) {
    if (status === "untrusted") return 2;
    if (status !== "trusted") worst = 3;
  }
  return worst;
}
