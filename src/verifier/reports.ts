import { type ContainerState, type HostState, keyOf } from "../attest/host-state.ts";
import type { ContainerReport, HostReport } from "../attest/report.ts";
import { sweeperStanding } from "../attest/sweeper-standing.ts";
import { type BaselineLookup, decide, type HostStanding, type JudgingPolicy, noIdentity } from "../attest/verdict.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import type { SweepEvent } from "../log/event.ts";
import { reasonSchema } from "../log/finding.ts";
import type { Platforms } from "./platforms.ts";
import type { HostRow, Store, VerdictRow } from "./store.ts";

export interface ReportsOptions {
  /** Without accepted evidence for so long, a host's containers are `stale`. */
  readonly staleAfterMs: number;
  /** The longest that a host's sweeper may stand still; without it ten of the agent's intervals, at least 30 s. */
  readonly maxPauseMs?: number | undefined;
  readonly policy?: JudgingPolicy;
}

export interface ReportsModules {
  readonly store: Store;
  readonly clock: Clock;
  /** What is below the agents, where that is asked for. */
  readonly platforms?: Platforms;
  /** The reference values for an image identity, or why there are none. */
  lookUp(identity: string): Promise<BaselineLookup>;
}

/** Boots that a report lists. */
const SHOWN_BOOTS = 16;

/** What stands of a host now: decided anew at each question, from what was proved and what the baselines are by now. */
export class Reports {
  readonly #options: ReportsOptions;
  readonly #modules: ReportsModules;

  constructor(options: ReportsOptions, modules: ReportsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** A host with its containers, of which `state` is what its log has proved. */
  async of(row: HostRow, state: HostState): Promise<HostReport> {
    const { platforms, store } = this.#modules;
    const standing = this.#standing(row, state);
    const containers = await Promise.all(
      [...state.containers.values()].map((container) => this.#container(state, container, standing)),
    );
    return {
      host: row.name,
      evidence: row.acceptedAt === null && row.refused === null ? "none" : standing.standing,
      reason: standing.standing === "refused" ? standing.reason : null,
      text: standing.standing === "good" ? "" : standing.text,
      tpm: store.enrollments.identity(row.name),
      notice: store.enrollments.notice(row.name),
      acceptedAt: row.acceptedAt === null ? null : rfc3339(row.acceptedAt),
      records: row.proved.length,
      boots: this.#boots(row.name),
      links: platforms === undefined ? null : platforms.judge(row.name).links,
      longestUnprovedMs: state.longestUnprovedMs,
      lastSweep: state.lastSweep === null ? null : coverageOf(state.lastSweep),
      containers,
    };
  }

  /** Keeps a line for every container whose verdict is another than before. */
  async keepVerdicts(row: HostRow, state: HostState): Promise<void> {
    const { store, clock } = this.#modules;
    const host = row.name;
    const changed: VerdictRow[] = [];
    for (const { container, status, reasons, findings } of (await this.of(row, state)).containers) {
      const key = keyOf(container);
      const why = [...new Set([...findings, ...reasons].map(({ reason }) => reason))];
      const last = store.lastVerdict(host, key);
      if (last?.status === status && last.reasons.join() === why.join()) continue;
      changed.push({ host, container: key, time: rfc3339(clock.now()), status, reasons: why });
    }
    if (changed.length > 0) store.addVerdicts(changed);
  }

  async #container(state: HostState, container: ContainerState, standing: HostStanding): Promise<ContainerReport> {
    const identity = container.container.image;
    const lookup: BaselineLookup =
      identity === null ? noIdentity(container.unresolved) : await this.#modules.lookUp(identity);
    const { startedAt, stoppedAt, actions, gate } = container;
    return { ...decide(state, container, lookup, standing, this.#options.policy), startedAt, stoppedAt, actions, gate };
  }

  #standing(row: HostRow, state: HostState): HostStanding {
    const { store, clock, platforms } = this.#modules;
    const ousted = store.enrollments.ousted(row.name);
    if (ousted !== null) return { standing: "refused", reason: ousted.reason, text: ousted.text };
    if (row.refused !== null)
      return { standing: "refused", reason: reasonSchema.parse(row.refused.reason), text: row.refused.text };
    const age = row.acceptedAt === null ? Number.POSITIVE_INFINITY : clock.now() - row.acceptedAt;
    // The wall clock may have been set back since; that must not keep a silent host good.
    if (Math.abs(age) <= this.#options.staleAfterMs) {
      const sweeper = sweeperStanding(state, this.#options.maxPauseMs);
      const [below] = platforms?.judge(row.name).reasons ?? [];
      return sweeper.standing === "good" && below !== undefined ? { standing: "refused", ...below } : sweeper;
    }
    const seconds = Math.round(this.#options.staleAfterMs / 1000);
    return { standing: "stale", text: `no evidence of the host for more than ${seconds} s` };
  }

  #boots(host: string): HostReport["boots"] {
    const { log } = this.#modules.store;
    const { boots, told, unloggedResets, resumes } = log.totals(host);
    const last = log.boots(host, SHOWN_BOOTS).map((boot) => ({
      ...{ bootId: boot.bootId, since: rfc3339(boot.since), records: boot.records, proved: boot.proved },
      ...{ unloggedResets: boot.unloggedResets, resumes: boot.resumes },
    }));
    return { known: boots, told, unloggedResets, resumes, last };
  }
}

function coverageOf({ time, processes, mappings, longestPauseMs, unreadable, scrubCycleMs }: SweepEvent) {
  return { time, processes, mappings, longestPauseMs, unreadable, scrubCycleMs };
}
