import { applyRecords, findingKey, type HostState, keyOf } from "../attest/host-state.ts";
import type { SignedOrder } from "../attest/order.ts";
import type { BaselineLookup } from "../attest/verdict.ts";
import type { ContainerInfo, ContainerRef } from "../container/types.ts";
import { rfc3339 } from "../core/clock.ts";
import { describeError } from "../core/errors.ts";
import type { LogEvent } from "../log/event.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { LogRecord } from "../log/record.ts";
import type { GateState } from "../measure/gate/protocol.ts";
import { emptyCoverage } from "../measure/gathering.ts";
import type { Sweeper, SweepResult } from "../measure/sweep.ts";
import { ActionLimit, type Policy } from "../respond/policy.ts";
import { Attesting, type AttestingModules, type AttestingOptions } from "./attesting.ts";
import { CoverageCounter } from "./coverage.ts";
import { type CodeFact, violationEvent } from "./events.ts";
import { Executed } from "./executed.ts";
import { Judging } from "./judging.ts";
import { LogQueue } from "./log-queue.ts";
import { Observed, pidsOf } from "./observed.ts";
import { type Act, Responding } from "./responding.ts";
import { Rotation } from "./rotation.ts";
import { Signal } from "./signal.ts";
import { Told } from "./told.ts";
import { Turns } from "./turns.ts";
import { within } from "./within.ts";

export interface AgentOptions extends AttestingOptions {
  readonly version: string;
  readonly sweepIntervalMs: number;
  /** How large a segment of the log becomes before another goes on. */
  readonly segmentBytes: number;
  readonly policy: Policy;
}

export interface AgentModules extends AttestingModules {
  /** The last record in it; null in a new one. */
  readonly last: LogRecord | null;
  readonly sweeper: Sweeper;
  lookUp(identity: string): Promise<BaselineLookup>;
  nameContainer(container: ContainerRef): Promise<ContainerInfo>;
  readonly act: Act;
  /** One sentence for the operator. */
  report(text: string): void;
}

/** What is under way when the agent is to stop may come to its end for so long. */
const STOP_WAIT_MS = 2000;

/**
 * The attester on a host: sweeps, logs what is new, judges it, acts by policy, and proves it to the verifier. Everything
 * that decides works on the state that the log adds up to, the same that the verifier builds.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #modules: AgentModules;
  readonly #state: HostState;
  readonly #queue: LogQueue;
  readonly #turns = new Turns();
  readonly #coverage: CoverageCounter;
  readonly #observed: Observed;
  readonly #judging: Judging;
  readonly #limit: ActionLimit;
  readonly #responding: Responding;
  readonly #attesting: Attesting;
  readonly #rotation: Rotation;
  readonly #executed: Executed;
  readonly #told: Told;
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #reported = new Map<string, string>();
  #sweeping: Promise<void> | undefined;
  /** Actions are carried out one after the other, while measuring and logging go on. */
  #responses: Promise<void> = Promise.resolve();
  #gateStates: readonly GateState[] = [];

  constructor(options: AgentOptions, modules: AgentModules) {
    const { clock, log } = modules;
    this.#options = options;
    this.#modules = modules;
    this.#state = modules.boot.state;
    this.#coverage = new CoverageCounter(clock.monotonicMs());
    this.#queue = new LogQueue(log, clock, (event) =>
      applyRecords(this.#state, [{ recnum: 0, pcr: 0, digest: "", events: [event] }]),
    );
    this.#observed = new Observed(this.#state, modules);
    this.#judging = new Judging(this.#state, options.policy, (identity) => modules.lookUp(identity));
    this.#limit = new ActionLimit(options.policy.maxActionsPerMinute);
    this.#responding = new Responding(this.#state, options.policy, modules, this.#limit);
    this.#rotation = new Rotation(options.segmentBytes, modules, {
      queue: this.#queue,
      turns: this.#turns,
      state: this.#state,
    });
    const say = (topic: string, text: string) => this.#say(topic, text);
    this.#attesting = new Attesting(options, modules, {
      queue: this.#queue,
      turns: this.#turns,
      coverage: this.#coverage,
      stopping: this.#stopping.signal,
      sweep: () => this.#sweep(),
      obey: (order, challenge) => this.#obey(order, challenge),
      onProved: async (records) => {
        const stay = (error: unknown) => say("logs", `old logs stay: ${describeError(error)}`);
        await modules.boot.proved().catch(stay);
        await this.#rotation.proved(records).catch(stay);
      },
      say,
    });
    this.#executed = new Executed(
      modules.sweeper,
      (result) => this.#takeExecuted(result),
      (error) => say("measure", describeError(error)),
    );
    this.#told = new Told(() => this.#takeTold().catch((error) => say("gate", describeError(error))));
  }

  /** Runs until `stop`, or until the log cannot be written any more: then it throws. */
  async run(): Promise<void> {
    const { version, sweepIntervalMs } = this.#options;
    this.#queue.add([
      ...this.#gapSinceLastRecord(),
      { type: "agent-start", time: this.#time(), version, pid: process.pid, intervalMs: sweepIntervalMs },
    ]);
    await this.#queue.written();
    this.#loops.push(this.#sweepLoop(), this.#attesting.run(), this.#attesting.listen());
    try {
      await this.#untilStopped(Promise.race([Promise.all(this.#loops), this.#queue.failure]));
      await within(STOP_WAIT_MS, this.#responses);
      this.#turns.end();
      await this.#queue.end([{ type: "agent-stop", time: this.#time() }]);
    } finally {
      this.#turns.end();
      this.#stopping.abort();
      const end = async () => {
        await Promise.allSettled(this.#loops);
        await this.#executed.stop();
        await this.#modules.sweeper.close();
      };
      await within(STOP_WAIT_MS, end());
    }
  }

  /** Waits for the loops; once they are to stop, not for one that hangs. */
  async #untilStopped(loops: Promise<unknown>): Promise<void> {
    const { signal } = this.#stopping;
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.race([loops, stopped]);
    await within(STOP_WAIT_MS, loops);
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Measures processes that have just executed a program. */
  onExec(pids: readonly number[], lost: boolean): void {
    const noted = this.#executed.note(pids);
    if (!lost && noted) return;
    this.#say("events", "exec events came faster than they are measured; the next sweep covers them");
    this.#queue.overloaded("programs were executed faster than they are measured, and what ended at once was not seen");
  }

  /** The gate has not let a program be executed. `finding` says so once it is known how the container is called. */
  onRefused(container: ContainerRef, finding: (name: ContainerName) => Finding): void {
    if (!this.#told.refused(container, finding)) this.#leaveOut();
  }

  /** The gate, which only observes, has seen a program that the image does not have: however soon it ends. */
  onUnlisted(fact: CodeFact): void {
    if (!this.#told.unlisted(fact)) this.#leaveOut();
  }

  #leaveOut(): void {
    this.#queue.overloaded("the gate told of programs faster than they are logged, and some are left out");
  }

  onGateStates(states: readonly GateState[]): void {
    this.#gateStates = states;
  }

  /** Programs were executed, or refused, without having been judged. */
  async onGap(text: string): Promise<void> {
    await this.#turns.take(async () => this.#queue.addPatiently([{ type: "gap", time: this.#time(), text }]));
  }

  /** What the gate has told since it was last taken. */
  async #takeTold(): Promise<void> {
    await this.#turns.take(async () => {
      const { facts, containers, refusals } = this.#told.take();
      const result = { coverage: emptyCoverage(), facts, containers, scrubCycleMs: null };
      await this.#log(result, false);
      const refused = new Map<string, Finding>();
      for (const { container, finding } of refusals) {
        const known = this.#state.containers.get(keyOf(container));
        if (known === undefined) continue;
        const one = finding(known.container);
        if (this.#judging.isNew(known, one)) refused.set(`${keyOf(container)} ${findingKey(one)}`, one);
      }
      await this.#accuse([...refused.values(), ...(await this.#findings(result))], result);
    });
  }

  async #takeExecuted(result: SweepResult): Promise<void> {
    await this.#turns.take(async () => {
      this.#coverage.addUnreadable(result.facts);
      await this.#take(result, false);
    });
    // What is executed meanwhile is measured together, so that a slow TPM gets fewer records.
    await this.#queue.written();
  }

  async #sweepLoop(): Promise<void> {
    const { clock } = this.#modules;
    while (!this.#stopping.signal.aborted) {
      const startMs = clock.monotonicMs();
      await this.#sweep();
      await this.#queue.written();
      await this.#rotation.rotateWhenFull();
      const leftMs = this.#options.sweepIntervalMs - (clock.monotonicMs() - startMs);
      await new Signal().wait(Math.max(0, leftMs), this.#stopping.signal);
    }
  }

  #sweep(): Promise<void> {
    if (this.#sweeping === undefined) {
      this.#sweeping = this.#sweepOnce().finally(() => {
        this.#sweeping = undefined;
      });
      // Whoever asked for it may have stopped waiting; the sweep loop has not.
      this.#sweeping.catch(() => {});
    }
    return this.#sweeping;
  }

  async #sweepOnce(): Promise<void> {
    const result = await this.#modules.sweeper.sweep();
    await this.#turns.take(async () => {
      this.#coverage.add(result, this.#modules.clock.monotonicMs());
      await this.#take(result, true);
    });
  }

  /** Between the end of the log and now nobody watched. */
  #gapSinceLastRecord(): LogEvent[] {
    const last = this.#modules.last?.events.at(-1);
    if (last === undefined) return [];
    return [{ type: "gap", time: this.#time(), text: `not watched since ${last.time}, the time of the last record` }];
  }

  /** Logs, judges and acts on what a sweep or a single measurement found. `whole`: it covered every process. */
  async #take(result: SweepResult, whole: boolean): Promise<void> {
    await this.#log(result, whole);
    await this.#accuse(await this.#findings(result), result);
  }

  /** What is new, each in the log before what rests on it. */
  async #log(result: SweepResult, whole: boolean): Promise<void> {
    await this.#queue.addPatiently(await this.#observed.lifeEvents(result, whole));
    await this.#queue.addPatiently(this.#observed.newFacts(result));
    if (whole) await this.#queue.addPatiently(this.#observed.newGateStates(this.#gateStates));
  }

  async #findings(result: SweepResult): Promise<Finding[]> {
    const onLookup = (image: string, missing: string | null) => {
      const topic = `baseline ${image}`;
      if (missing !== null) this.#say(topic, missing);
      // Revoked once more is news again.
      else this.#reported.delete(topic);
    };
    return [...this.#judging.newInItself(result), ...(await this.#judging.newJudgements(onLookup))];
  }

  /** Logs violations, has them attested to, and acts on them once they are in the log. */
  async #accuse(violations: readonly Finding[], result: SweepResult): Promise<void> {
    if (violations.length === 0) return;
    for (const _one of violations) this.#coverage.proof.logged(this.#modules.clock.monotonicMs());
    await this.#queue.addPatiently(violations.map((finding) => violationEvent(finding, this.#time())));
    for (const finding of violations) this.#modules.report(`${finding.reason}: ${finding.text}`);
    this.#attesting.attestNow();
    const logged = this.#queue.written();
    const culprits = violations
      .filter((finding) => this.#responding.concerns(finding))
      .map((finding) => ({ finding, pids: finding.container === null ? [] : pidsOf(finding.container, result) }));
    if (culprits.length === 0) return void logged.catch(() => {});
    this.#responses = this.#responses
      .then(async () => {
        await logged;
        for (const culprit of culprits) {
          const event = await this.#responding.respond(culprit);
          if (event === null) continue;
          this.#modules.report(`${event.container.name}: ${event.text}`);
          await this.#turns.take(async () => this.#queue.add([event]));
          this.#attesting.attestNow();
        }
      })
      // The queue's failure ends the agent.
      .catch((error) => this.#say("respond", describeError(error)));
  }

  /** Carries out an order after what is under way. Whatever becomes of it is in the log, and proved at once. */
  #obey(order: SignedOrder, challenge: string): Promise<void> {
    this.#responses = this.#responses
      .then(async () => {
        const event = await this.#modules.orders?.carryOut(order, challenge, this.#state, this.#limit);
        if (event === null || event === undefined) return;
        await this.#turns.take(async () => this.#queue.add([event]));
        this.#attesting.attestNow();
      })
      .catch((error) => this.#say("order", describeError(error)));
    return this.#responses;
  }

  #time(): string {
    return rfc3339(this.#modules.clock.now());
  }

  /** Tells the operator, but not the same thing again. */
  #say(topic: string, text: string): void {
    if (this.#reported.get(topic) === text) return;
    this.#reported.set(topic, text);
    this.#modules.report(text);
  }
}
