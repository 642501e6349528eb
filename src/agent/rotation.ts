import type { HostState } from "../attest/host-state.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import type { LogEvent } from "../log/event.ts";
import type { MeasurementLog } from "../log/measurement-log.ts";
import type { LogQueue } from "./log-queue.ts";
import type { Turns } from "./turns.ts";

/**
 * Begins a new segment of the log when the last one is full, tells in it what a reader needs to go on from there, and
 * removes the segments before it once a quote has proved all of that: then nothing is lost with them that the verifier
 * does not have.
 */
export class Rotation {
  readonly #segmentBytes: number;
  readonly #log: MeasurementLog;
  readonly #clock: Clock;
  readonly #queue: LogQueue;
  readonly #turns: Turns;
  readonly #state: HostState;
  /** What was told again does not fill a segment. */
  #toldBytes = 0;
  /** Where the newest segment begins, and the record by which it has told all: not before that is proved. */
  #told: { readonly from: number; readonly end: number } | null = null;

  constructor(
    segmentBytes: number,
    modules: { readonly log: MeasurementLog; readonly clock: Clock },
    agent: { readonly queue: LogQueue; readonly turns: Turns; readonly state: HostState },
  ) {
    this.#segmentBytes = segmentBytes;
    this.#log = modules.log;
    this.#clock = modules.clock;
    this.#queue = agent.queue;
    this.#turns = agent.turns;
    this.#state = agent.state;
  }

  /** Throws what the log throws when it cannot be appended to. */
  async rotateWhenFull(): Promise<void> {
    if (this.#log.segmentBytes - this.#toldBytes < this.#segmentBytes) return;
    const from = await this.#turns.take(async () => {
      // Nobody adds anything meanwhile that rests on what is still waiting.
      await this.#queue.idle();
      const events = [...toldAgain(this.#state)];
      const { recnum } = await this.#log.rotate(events.length, rfc3339(this.#clock.now()));
      await this.#queue.addPatiently(events);
      return recnum;
    });
    if (from === undefined) return;
    await this.#queue.written();
    this.#toldBytes = this.#log.segmentBytes;
    this.#told = { from, end: this.#log.length };
  }

  /** An accepted quote has proved so many records. */
  async proved(records: number): Promise<void> {
    if (this.#told === null || records < this.#told.end) return;
    await this.#log.prune(this.#told.from);
    this.#told = null;
  }
}

/** Living containers, what was found in them, and what was done to them since they were last started, as it was told before. */
export function* toldAgain({ containers }: HostState): Generator<LogEvent> {
  for (const known of containers.values()) {
    const { container, imageName, unresolved, start, startedAt, stoppedAt, violations, actions, earlier, gate } = known;
    if (stoppedAt !== null) continue;
    const why = unresolved === null ? {} : { unresolved };
    const how = start === null ? {} : { start };
    yield { type: "container-start", time: startedAt, container, imageName, ...why, ...how };
    for (const violation of violations.values()) yield { type: "violation", ...violation };
    yield* actions.slice(earlier.actions);
    if (gate !== null) yield gate;
  }
}
