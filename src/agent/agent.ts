import { collectEvidence, type Quoter } from "../attest/collect.ts";
import {
  applyRecords,
  type ContainerState,
  codeKey,
  emptyHostState,
  findingKey,
  type HostState,
  keyOf,
  knowsCode,
  knowsListener,
  knowsStart,
  listenerKey,
  MAX_VIOLATIONS,
  startKey,
} from "../attest/host-state.ts";
import type { ReferenceValues } from "../attest/judge.ts";
import type { PlatformWanted } from "../attest/platform-evidence.ts";
import { type BaselineLookup, decide } from "../attest/verdict.ts";
import { type ContainerInfo, type ContainerRef, containerKey } from "../container/types.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { describeError, errorCode } from "../core/errors.ts";
import type { GateEvent, LogEvent } from "../log/event.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { MeasurementLog } from "../log/measurement-log.ts";
import type { LogRecord } from "../log/record.ts";
import type { ContainerStart } from "../log/start.ts";
import type { GateState } from "../measure/gate/protocol.ts";
import { emptyCoverage } from "../measure/gathering.ts";
import type { Sweeper, SweepResult } from "../measure/sweep.ts";
import { ActionLimit, actionFor, type Policy } from "../respond/policy.ts";
import { containerStart, isFirstProcess } from "./container-start.ts";
import { CoverageCounter } from "./coverage.ts";
import {
  type CodeFact,
  codeEvent,
  findingOf,
  isWrongInItself,
  listenerEvent,
  startEvent,
  violationEvent,
} from "./events.ts";
import { Executed } from "./executed.ts";
import { Signal } from "./signal.ts";
import type { VerifierClient } from "./verifier-client.ts";
import { within } from "./within.ts";

export interface AgentOptions {
  readonly version: string;
  readonly sweepIntervalMs: number;
  readonly attestIntervalMs: number;
  /** How long an answer waits for a first sweep; 30 s without it. */
  readonly sweepWaitMs?: number;
  readonly policy: Policy;
}

export interface AgentModules {
  readonly log: MeasurementLog;
  /** What the log already holds. */
  readonly records: readonly LogRecord[];
  readonly sweeper: Sweeper;
  readonly verifier: VerifierClient;
  readonly quote: Quoter;
  /** Quotes what is below the agent, too; without it a verifier that asks for that refuses the evidence. */
  readonly quotePlatform?: (nonce: Uint8Array, wanted: PlatformWanted) => ReturnType<Quoter>;
  readonly clock: Clock;
  lookUp(identity: string): Promise<BaselineLookup>;
  nameContainer(container: ContainerRef): Promise<ContainerInfo>;
  /** Enrolls again at a verifier that does not know this host's token any more. False when that is not possible. */
  enrollAgain(): Promise<boolean>;
  pause(container: ContainerRef, pids: readonly number[]): Promise<string>;
  /** One sentence for the operator. */
  report(text: string): void;
}

/** What one record carries, and with it one extend. A single event is never larger than this. */
const EVENTS_A_RECORD = 64;
const BYTES_A_RECORD = 512 * 1024;
/** How long the verifier may hold the request that asks whether evidence is wanted. */
const WANTED_WAIT_MS = 25_000;
const RETRY_MS = 1000;
/** How long an answer waits for a first sweep: half a nonce's life. A sweeper that hangs is told of, not waited for. */
const SWEEP_WAIT_MS = 30_000;
/** What is under way when the agent is to stop may come to its end for so long. */
const STOP_WAIT_MS = 2000;

/**
 * The attester's loop on a host: sweeps, logs what is new, acts by policy, and proves it to the verifier. Everything that
 * decides works on the state that the log adds up to, the same that the verifier builds.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #modules: AgentModules;
  readonly #state: HostState = emptyHostState();
  readonly #coverage: CoverageCounter;
  readonly #limit: ActionLimit;
  readonly #attestNow = new Signal();
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #reported = new Map<string, string>();
  /** How much of a container's facts was judged, and by what. */
  readonly #judged = new WeakMap<
    ContainerState,
    { facts: number; reference: ReferenceValues | null; start: ContainerStart | null }
  >();
  readonly #executed: Executed;
  #sweeping: Promise<void> | undefined;
  #ended = false;
  #turn: Promise<unknown> = Promise.resolve();
  #gateStates: readonly GateState[] = [];

  constructor(options: AgentOptions, modules: AgentModules) {
    this.#options = options;
    this.#modules = modules;
    this.#coverage = new CoverageCounter(modules.clock.monotonicMs());
    this.#limit = new ActionLimit(options.policy.maxActionsPerMinute);
    this.#executed = new Executed(
      modules.sweeper,
      (result) => this.#takeExecuted(result),
      // A failure to append ends the sweep loop too, which reports it.
      (error) => this.#say("measure", describeError(error)),
    );
    applyRecords(this.#state, modules.records);
  }

  /** Runs until `stop`, or until the log cannot be written any more: then it throws. */
  async run(): Promise<void> {
    const { clock, sweeper } = this.#modules;
    const { version, sweepIntervalMs } = this.#options;
    await this.#append([
      ...this.#gapSinceLastRecord(),
      { type: "agent-start", time: this.#time(), version, pid: process.pid, intervalMs: sweepIntervalMs },
    ]);
    this.#loops.push(this.#sweepLoop(), this.#attestLoop(), this.#wantedLoop());
    try {
      await this.#untilStopped(Promise.all(this.#loops));
      await this.#inTurn(async () => {
        this.#ended = true;
        await this.#append([{ type: "agent-stop", time: rfc3339(clock.now()) }]);
      });
    } finally {
      this.#ended = true;
      this.#stopping.abort();
      const end = async () => {
        await Promise.allSettled(this.#loops);
        await this.#executed.stop();
        await sweeper.close();
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
    if (lost || !noted)
      this.#say("events", "exec events came faster than they are measured; the next sweep covers them");
  }

  /** The gate has not let a program be executed. `finding` says so once it is known how the container is called. */
  async onRefused(container: ContainerRef, finding: (name: ContainerName) => Finding): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#ended) return;
      const containers = new Map([[keyOf(container), container]]);
      const result = { coverage: emptyCoverage(), facts: [], containers, scrubCycleMs: null };
      await this.#append(await this.#lifeEvents(result, false));
      const known = this.#state.containers.get(keyOf(container))!;
      const refused = finding(known.container);
      if (this.#isNew(known, refused)) await this.#takeViolations([refused], result);
    });
  }

  /** The gate, which only observes, has seen a program that the image does not have: however soon it ends. */
  onUnlisted(fact: CodeFact): Promise<void> {
    const container = fact.process.container!;
    const containers = new Map([[keyOf(container), container]]);
    return this.#takeExecuted({ coverage: emptyCoverage(), facts: [fact], containers, scrubCycleMs: null });
  }

  onGateStates(states: readonly GateState[]): void {
    this.#gateStates = states;
  }

  /** Programs were executed, or refused, without having been judged. */
  async onGap(text: string): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#ended) await this.#append([{ type: "gap", time: this.#time(), text }]);
    });
  }

  /** What the gate does, where that has changed; what it only counts, once a while. */
  #newGateStates(): LogEvent[] {
    const events: LogEvent[] = [];
    for (const state of this.#gateStates) {
      const known = this.#state.containers.get(keyOf(state.container));
      if (known === undefined || known.stoppedAt !== null) continue;
      const unwatched = [...state.unwatched];
      const event = { type: "gate" as const, time: this.#time(), ...state, container: known.container, unwatched };
      if (isWorthSaying(event, known.gate)) events.push(event);
    }
    return events;
  }

  #takeExecuted(result: SweepResult): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#ended) return;
      this.#coverage.addUnreadable(result.facts);
      await this.#take(result, false);
    });
  }

  async #sweepLoop(): Promise<void> {
    const { clock } = this.#modules;
    while (!this.#stopping.signal.aborted) {
      const startMs = clock.monotonicMs();
      await this.#sweep();
      await this.#pause(Math.max(0, this.#options.sweepIntervalMs - (clock.monotonicMs() - startMs)));
    }
  }

  /** The sweep that is under way, or a new one. */
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
    const { clock, sweeper } = this.#modules;
    const result = await sweeper.sweep();
    await this.#inTurn(async () => {
      if (this.#ended) return;
      this.#coverage.add(result, clock.monotonicMs());
      await this.#take(result, true);
    });
  }

  async #attestLoop(): Promise<void> {
    let waitMs = 0;
    while (!this.#stopping.signal.aborted) {
      await this.#attestNow.wait(waitMs, this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      waitMs = this.#options.attestIntervalMs;
      try {
        await this.#attest();
      } catch (error) {
        if (this.#isFatal(error)) throw error;
        if (errorCode(error) === "not-authorized" && (await this.#enrollAgain())) continue;
        this.#say("attest", `no evidence could be given: ${describeError(error)}`);
        await this.#checkRegister();
        waitMs = Math.min(RETRY_MS, waitMs);
      }
    }
  }

  /** Log and TPM may be apart, or something cannot be logged: going on would prove nothing. */
  #isFatal(error: unknown): boolean {
    return this.#modules.log.failed || ["event-invalid", "log-too-large"].includes(errorCode(error) ?? "");
  }

  /** A verifier that lost its memory is given everything anew. */
  async #enrollAgain(): Promise<boolean> {
    try {
      return await this.#modules.enrollAgain();
    } catch (error) {
      this.#say("enroll", describeError(error));
      return false;
    }
  }

  async #wantedLoop(): Promise<void> {
    const { verifier } = this.#modules;
    while (!this.#stopping.signal.aborted) {
      try {
        if (await verifier.wanted(WANTED_WAIT_MS, this.#stopping.signal)) {
          this.#attestNow.set();
          // The verifier goes on wanting until the nonce is asked for.
          await this.#pause(RETRY_MS / 4);
        }
      } catch {
        // The attest loop reports an unreachable verifier.
        await this.#pause(RETRY_MS);
      }
    }
  }

  /** Between the end of the log and now nobody watched. */
  #gapSinceLastRecord(): LogEvent[] {
    const last = this.#modules.records.at(-1)?.events.at(-1);
    if (last === undefined) return [];
    return [{ type: "gap", time: this.#time(), text: `not watched since ${last.time}, the time of the last record` }];
  }

  /** Nonce, sweep record, quote, records: so a fresh quote proves fresh measuring. */
  async #attest(): Promise<void> {
    const { verifier, log, clock } = this.#modules;
    const { nonce, from, platform } = await verifier.nonce();
    const waitMs = this.#options.sweepWaitMs ?? SWEEP_WAIT_MS;
    if (this.#coverage.sweeps === 0 && !(await within(waitMs, this.#sweep(), this.#stopping.signal)))
      this.#say("sweep", `a sweep takes longer than ${waitMs / 1000} s; the verifier is told so`);
    if (this.#stopping.signal.aborted) return;
    const [wrong, evidence] = await this.#inTurn(async () => {
      await this.#append([this.#coverage.take(nonce, this.#time(), clock.monotonicMs())]);
      const wrong = await log.checkRegister();
      const evidence = await collectEvidence({
        logPath: log.path,
        from,
        start: log.before(from),
        nonce: new Uint8Array(Buffer.from(nonce, "hex")),
        quote: this.#quoter(platform),
        ...(wrong === null ? {} : { fault: wrong.fault }),
      });
      return [wrong, evidence];
    });
    if (wrong !== null) {
      // The verifier shall know why it hears no more.
      await verifier.evidence(evidence).catch(() => {});
      throw wrong;
    }
    const outcome = await verifier.evidence(evidence);
    this.#say(
      "attest",
      outcome.accepted
        ? "the verifier accepts the evidence"
        : `the verifier refuses the evidence (${outcome.reason}): ${outcome.text}`,
    );
  }

  /** Throws when somebody else has used the register, also while there is no verifier to prove anything to. */
  async #checkRegister(): Promise<void> {
    try {
      const wrong = await this.#modules.log.checkRegister();
      if (wrong !== null) throw wrong;
    } catch (error) {
      if (this.#isFatal(error)) throw error;
    }
  }

  #quoter(wanted: PlatformWanted | undefined): Quoter {
    const { quote, quotePlatform } = this.#modules;
    if (wanted === undefined || quotePlatform === undefined) return quote;
    return (nonce) => quotePlatform(nonce, wanted);
  }

  /** Logs, judges and acts on what a sweep or a single measurement found. `whole`: it covered every process. */
  async #take(result: SweepResult, whole: boolean): Promise<void> {
    await this.#append(await this.#lifeEvents(result, whole));
    await this.#append(this.#newFacts(result));
    if (whole) await this.#append(this.#newGateStates());
    await this.#takeViolations([...this.#newInItself(result), ...(await this.#newJudgements())], result);
  }

  async #takeViolations(violations: readonly Finding[], result: SweepResult): Promise<void> {
    if (violations.length === 0) return;
    await this.#append(violations.map((finding) => violationEvent(finding, this.#time())));
    for (const finding of violations) this.#modules.report(`${finding.reason}: ${finding.text}`);
    await this.#respond(violations, result);
    this.#attestNow.set();
  }

  async #lifeEvents(result: SweepResult, whole: boolean): Promise<LogEvent[]> {
    const events: LogEvent[] = [];
    for (const [key, container] of result.containers) {
      const known = this.#state.containers.get(key);
      const living = known?.stoppedAt === null;
      // Started again between two sweeps: its first process is another.
      const pids = pidsOf(container, result);
      const again = living && known.start !== null && pids.length > 0 && !isFirstProcess(known.start);
      // The runtime is asked again for an image that it did not tell, once a sweep.
      if (living && !again && (known.container.image !== null || !whole)) continue;
      const info = await this.#modules.nameContainer(container);
      const { runtime, id, name, image, imageName } = info;
      // Nothing new to say about a container whose runtime still does not tell its image.
      if (living && !again && image === null) continue;
      const start = containerStart(info, pids);
      if (again && start === undefined) continue;
      const said = { container: { runtime, id, name, image }, imageName, ...(start === undefined ? {} : { start }) };
      events.push({ type: "container-start", time: this.#time(), ...said });
    }
    if (!whole) return events;
    for (const [key, { container, stoppedAt }] of this.#state.containers)
      if (stoppedAt === null && !result.containers.has(key))
        events.push({ type: "container-stop", time: this.#time(), container });
    return events;
  }

  /** Code, listening sockets, and ways of starting a program, that were not seen in their container before. */
  #newFacts(result: SweepResult): LogEvent[] {
    const events = new Map<string, LogEvent>();
    for (const fact of result.facts) {
      const container = this.#nameOf(fact.process.container);
      if (container === null) continue;
      if (fact.kind === "code") {
        const event = codeEvent(fact, container, this.#time());
        if (!knowsCode(this.#state, event)) events.set(`${keyOf(container)} ${codeKey(event)}`, event);
      } else if (fact.kind === "listener") {
        const event = listenerEvent(fact, container, this.#time());
        if (!knowsListener(this.#state, event)) events.set(`${keyOf(container)} listener ${listenerKey(event)}`, event);
      } else if (fact.kind === "start") {
        const event = startEvent(fact, container, this.#time());
        if (!knowsStart(this.#state, event)) events.set(`${keyOf(container)} start ${startKey(event)}`, event);
      }
    }
    return [...events.values()];
  }

  /** What is wrong whatever the image says. */
  #newInItself(result: SweepResult): Finding[] {
    const findings: Finding[] = [];
    for (const fact of result.facts) {
      if (!isWrongInItself(fact)) continue;
      const container = this.#nameOf(fact.process.container);
      if (container === null) continue;
      const finding = findingOf(fact, container);
      if (this.#isNew(this.#state.containers.get(keyOf(container))!, finding)) findings.push(finding);
    }
    return findings;
  }

  /** Judges every living container's code with its baseline; a baseline that comes later judges what was seen before. */
  async #newJudgements(): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const container of this.#state.containers.values()) {
      if (container.stoppedAt !== null) continue;
      const { image } = container.container;
      const lookup: BaselineLookup =
        image === null ? { found: false, reason: "no-baseline", text: "" } : await this.#modules.lookUp(image);
      if (!lookup.found && image !== null) this.#say(`baseline ${image}`, lookup.text);
      // Nothing new to judge, and nothing new to judge it by.
      const reference = lookup.found ? lookup.reference : null;
      const judged = this.#judged.get(container);
      const { code, listeners, processStarts, start } = container;
      const facts = code.size + listeners.size + processStarts.size;
      if (judged?.facts === facts && judged.reference === reference && judged.start === start) continue;
      this.#judged.set(container, { facts, reference, start });
      const verdict = decide(this.#state, container, lookup, { standing: "good" }, this.#options.policy);
      findings.push(...verdict.findings.filter((finding) => this.#isNew(container, finding)));
    }
    return findings;
  }

  #isNew(container: ContainerState, finding: Finding): boolean {
    return !container.violations.has(findingKey(finding)) && container.violations.size < MAX_VIOLATIONS;
  }

  /** Carries out what the policy says, once for each container. */
  async #respond(violations: readonly Finding[], result: SweepResult): Promise<void> {
    for (const finding of violations) {
      const { container, reason } = finding;
      if (container === null || actionFor(this.#options.policy, reason, container.name) !== "pause") continue;
      const known = this.#state.containers.get(keyOf(container));
      if (known?.actions.some(({ outcome }) => outcome === "done")) continue;
      const [outcome, text] = await this.#pauseContainer(container, finding, result);
      this.#modules.report(`${container.name}: ${text}`);
      await this.#append([
        { type: "action", time: this.#time(), action: "pause", container, reason, by: "policy", outcome, text },
      ]);
    }
  }

  async #pauseContainer(
    container: ContainerName,
    finding: Finding,
    result: SweepResult,
  ): Promise<["done" | "failed" | "suppressed", string]> {
    if (!this.#limit.take(this.#modules.clock.monotonicMs()))
      return ["suppressed", "not paused, the limit of actions in a minute is reached"];
    try {
      return ["done", await this.#modules.pause(container, [finding.pid, ...pidsOf(container, result)])];
    } catch (error) {
      return ["failed", describeError(error)];
    }
  }

  #nameOf(container: ContainerRef | null): ContainerName | null {
    if (container === null) return null;
    return this.#state.containers.get(containerKey(container))?.container ?? null;
  }

  /** Appends events and adds them to the state. */
  async #append(events: readonly LogEvent[]): Promise<void> {
    for (const part of recordSizes(events)) {
      const { recnum, digest } = await this.#modules.log.append(part);
      applyRecords(this.#state, [{ recnum, pcr: 0, digest, events: part }]);
    }
  }

  /** Logging, judging and attesting take turns, since each builds on the state that the one before left. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #pause(milliseconds: number): Promise<void> {
    await new Signal().wait(milliseconds, this.#stopping.signal);
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

/** Processes of a container that a measurement has something to tell of. */
function pidsOf({ id }: ContainerRef, { facts }: SweepResult): number[] {
  // One that does not fit to the container may be the host's.
  const own = facts.filter(({ kind, process }) => kind !== "mismatch" && process.container?.id === id);
  return own.map(({ process }) => process.pid);
}

const COUNTS_EVERY_MS = 60_000;
const DENIALS_EVERY_MS = 5000;

function isWorthSaying(now: GateEvent, said: GateEvent | null): boolean {
  if (said === null || said.mode !== now.mode || said.watched !== now.watched) return true;
  if (JSON.stringify(said.unwatched) !== JSON.stringify(now.unwatched)) return true;
  const ageMs = Date.parse(now.time) - Date.parse(said.time);
  if (said.denials !== now.denials) return ageMs >= DENIALS_EVERY_MS;
  return said.decisions !== now.decisions && ageMs >= COUNTS_EVERY_MS;
}

/** Cuts events into records: hostile paths and many pages make events large. */
function* recordSizes(events: readonly LogEvent[]): Generator<LogEvent[]> {
  let part: LogEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = Buffer.byteLength(JSON.stringify(event));
    if (part.length === EVENTS_A_RECORD || (part.length > 0 && bytes + size > BYTES_A_RECORD)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(event);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
