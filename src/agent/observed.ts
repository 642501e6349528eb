import {
  codeKey,
  type HostState,
  keyOf,
  knowsCode,
  knowsListener,
  knowsStart,
  listenerKey,
  startKey,
} from "../attest/host-state.ts";
import { type ContainerInfo, type ContainerRef, containerKey } from "../container/types.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { type GateEvent, type LogEvent, MAX_UNRESOLVED } from "../log/event.ts";
import type { ContainerName } from "../log/finding.ts";
import type { Fact } from "../measure/facts.ts";
import type { GateState } from "../measure/gate/protocol.ts";
import type { SweepResult } from "../measure/sweep.ts";
import { containerStart, isFirstProcess } from "./container-start.ts";
import { codeEvent, listenerEvent, startEvent } from "./events.ts";

/** What is measured, as events: each thing once, by what the log says already. */
export class Observed {
  readonly #state: HostState;
  readonly #clock: Clock;
  readonly #nameContainer: (container: ContainerRef) => Promise<ContainerInfo>;

  constructor(
    state: HostState,
    modules: { readonly clock: Clock; nameContainer(container: ContainerRef): Promise<ContainerInfo> },
  ) {
    this.#state = state;
    this.#clock = modules.clock;
    this.#nameContainer = modules.nameContainer;
  }

  /** The container as the log names it; null before it does. */
  nameOf(container: ContainerRef | null): ContainerName | null {
    if (container === null) return null;
    return this.#state.containers.get(containerKey(container))?.container ?? null;
  }

  /** Containers that began, and after a `whole` sweep those that ended. */
  async lifeEvents(result: SweepResult, whole: boolean): Promise<LogEvent[]> {
    const events: LogEvent[] = [];
    const told = new Set(result.facts.filter(isOwn).map(({ process }) => process.container?.id));
    for (const [key, container] of result.containers) {
      const known = this.#state.containers.get(key);
      const living = known?.stoppedAt === null;
      // Started again between two sweeps: its first process is another.
      const again = living && known.start !== null && told.has(container.id) && !isFirstProcess(known.start);
      // The runtime is asked again for an image that it did not tell, once a sweep.
      if (living && !again && (known.container.image !== null || !whole)) continue;
      const info = await this.#nameContainer(container);
      const { runtime, id, name, image, imageName } = info;
      const unresolved = info.unresolved?.slice(0, MAX_UNRESOLVED);
      // Nothing new to say about a container whose runtime still does not tell its image, once it is told why.
      const isToldWhy = unresolved === undefined || known?.unresolved !== null;
      if (living && !again && image === null && isToldWhy) continue;
      const start = containerStart(info, pidsOf(container, result));
      if (again && start === undefined) continue;
      const why = unresolved === undefined ? {} : { unresolved };
      const how = start === undefined ? {} : { start };
      const said = { container: { runtime, id, name, image }, imageName, ...why, ...how };
      events.push({ type: "container-start", time: this.#time(), ...said });
    }
    if (!whole) return events;
    for (const [key, { container, stoppedAt }] of this.#state.containers)
      if (stoppedAt === null && !result.containers.has(key))
        events.push({ type: "container-stop", time: this.#time(), container });
    return events;
  }

  /** Code, listening sockets, and ways of starting a program, that were not seen in their container before. */
  newFacts(result: SweepResult): LogEvent[] {
    const events = new Map<string, LogEvent>();
    for (const fact of result.facts) {
      const container = this.nameOf(fact.process.container);
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

  /** What the gate does, where that has changed; what it only counts, once a while. */
  newGateStates(states: readonly GateState[]): LogEvent[] {
    const events: LogEvent[] = [];
    for (const state of states) {
      const known = this.#state.containers.get(keyOf(state.container));
      if (known === undefined || known.stoppedAt !== null) continue;
      const unwatched = [...state.unwatched];
      const event = { type: "gate" as const, time: this.#time(), ...state, container: known.container, unwatched };
      if (isWorthSaying(event, known.gate)) events.push(event);
    }
    return events;
  }

  #time(): string {
    return rfc3339(this.#clock.now());
  }
}

/** Processes of a container that a measurement has something to tell of. */
export function pidsOf({ id }: ContainerRef, { facts }: SweepResult): number[] {
  return facts.filter((fact) => isOwn(fact) && fact.process.container?.id === id).map(({ process }) => process.pid);
}

/** One that does not fit to the container may be the host's. */
function isOwn({ kind }: Fact): boolean {
  return kind !== "mismatch";
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
