import {
  codeEvent,
  findingOf,
  isWrongInItself,
  listenerEvent,
  startEvent,
  violationEvent,
} from "../../src/agent/events.ts";
import { Executed } from "../../src/agent/executed.ts";
import {
  applyRecords,
  emptyHostState,
  findingKey,
  keyOf,
  knowsCode,
  knowsListener,
  knowsStart,
} from "../../src/attest/host-state.ts";
import { type BaselineLookup, decide } from "../../src/attest/verdict.ts";
import type { ContainerRef } from "../../src/container/types.ts";
import { describeError } from "../../src/core/errors.ts";
import type { LogEvent } from "../../src/log/event.ts";
import type { ContainerName, Finding } from "../../src/log/finding.ts";
import type { ContainerStart } from "../../src/log/start.ts";
import { Sweeper, type SweepResult } from "../../src/measure/sweep.ts";
import type { Method } from "../../src/process/address-space.ts";

/** Four times what the agent reads by default, so that all code is read again within seconds. */
const SCRUB_PAGES = 1024;

interface Watched {
  readonly name: ContainerName;
  readonly lookup: BaselineLookup;
  /** What could not be measured, one sentence for each. */
  readonly unreadable: Set<string>;
}

/**
 * Measures and judges as the agent does, without log, TPM and verifier: the same sweeper, the same state that events add
 * up to, the same decision. It looks at the containers that it was told of and at no others.
 */
export class Observer {
  readonly method: Method;
  readonly #sweeper: Sweeper;
  readonly #state = emptyHostState();
  readonly #watched = new Map<string, Watched>();
  readonly #executed: Executed;
  /** Errors that would have ended the agent. */
  readonly failures: string[] = [];

  constructor(method: Method) {
    this.method = method;
    this.#sweeper = new Sweeper({ scope: "containers", method, scrubPages: SCRUB_PAGES });
    this.#executed = new Executed(
      this.#sweeper,
      (result) => this.#take(result),
      (error) => void this.failures.push(describeError(error)),
    );
  }

  watch(container: ContainerRef, image: string, lookup: BaselineLookup): void {
    const name = { ...container, name: container.id, image };
    this.#watched.set(keyOf(container), { name, lookup, unreadable: new Set() });
    this.#apply({ type: "container-start", time: time(), container: name, imageName: null });
  }

  /** How a container that is watched was started, as the agent finds it out. */
  started(container: ContainerRef, start: ContainerStart | undefined): void {
    const { name } = this.#watched.get(keyOf(container))!;
    const how = start === undefined ? {} : { start };
    this.#apply({ type: "container-start", time: time(), container: name, imageName: null, ...how });
  }

  forget(container: ContainerRef): void {
    this.#watched.delete(keyOf(container));
  }

  async sweep(): Promise<void> {
    this.#take(await this.#sweeper.sweep());
  }

  /** What the agent does about exec events. */
  onExec(pids: readonly number[]): void {
    this.#executed.note(pids);
  }

  /** Everything found in a container so far. */
  findings(container: ContainerRef): Finding[] {
    const { lookup } = this.#watched.get(keyOf(container))!;
    return decide(this.#state, this.#state.containers.get(keyOf(container))!, lookup, { standing: "good" }).findings;
  }

  unreadable(container: ContainerRef): string[] {
    return [...this.#watched.get(keyOf(container))!.unreadable];
  }

  async close(): Promise<void> {
    await this.#executed.stop();
    await this.#sweeper.close();
  }

  #take(result: SweepResult): void {
    for (const fact of result.facts) {
      const container = fact.process.container && this.#watched.get(keyOf(fact.process.container));
      if (!container) continue;
      if (fact.kind === "unreadable") container.unreadable.add(fact.text);
      else if (isWrongInItself(fact)) this.#violation(findingOf(fact, container.name));
      else if (fact.kind === "listener") {
        const event = listenerEvent(fact, container.name, time());
        if (!knowsListener(this.#state, event)) this.#apply(event);
      } else if (fact.kind === "code") {
        const event = codeEvent(fact, container.name, time());
        if (!knowsCode(this.#state, event)) this.#apply(event);
      } else {
        const event = startEvent(fact, container.name, time());
        if (!knowsStart(this.#state, event)) this.#apply(event);
      }
    }
    for (const { name } of this.#watched.values()) for (const finding of this.findings(name)) this.#violation(finding);
  }

  #violation(finding: Finding): void {
    const known = this.#state.containers.get(keyOf(finding.container!))!;
    if (!known.violations.has(findingKey(finding))) this.#apply(violationEvent(finding, time()));
  }

  #apply(event: LogEvent): void {
    applyRecords(this.#state, [{ recnum: 0, pcr: 0, digest: "", events: [event] }]);
  }
}

function time(): string {
  return new Date().toISOString();
}
