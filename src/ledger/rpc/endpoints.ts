import type { Clock } from "../../core/clock.ts";
import { PimsError } from "../../core/errors.ts";
import { openRpc, type Rpc } from "./rpc.ts";

/** How long an endpoint is left out for a fault, as long as enough others are there. */
const LEFT_OUT_MS = 30_000;
/** How long the rest may still answer when enough have. */
const GRACE_MS = 1000;

interface Fault {
  readonly error: PimsError;
  readonly untilMs: number;
  /** When it did the first thing wrong after the last right one, milliseconds since 1970 UTC. */
  readonly since: number;
}

/** An endpoint and what it said. */
export interface Told<T> {
  readonly rpc: Rpc;
  readonly value: T;
}

/** The endpoints of one ledger, and those that are left out for what they did. */
export class Endpoints {
  readonly all: readonly Rpc[];
  readonly #clock: Clock;
  readonly #report: (text: string) => void;
  readonly #faults = new Map<Rpc, Fault>();

  constructor(
    urls: readonly string[],
    { clock, timeoutMs, report }: { clock: Clock; timeoutMs: number; report: (text: string) => void },
  ) {
    this.all = urls.map((url) => openRpc(url, timeoutMs));
    this.#clock = clock;
    this.#report = report;
  }

  /** Those that are not left out. */
  withoutFault(): Rpc[] {
    const now = this.#clock.monotonicMs();
    return this.all.filter((rpc) => (this.#faults.get(rpc)?.untilMs ?? Number.NEGATIVE_INFINITY) <= now);
  }

  /** The last fault of an endpoint that has done nothing right since. */
  faultOf(rpc: Rpc): PimsError | undefined {
    return this.#faults.get(rpc)?.error;
  }

  /** Since when it has done nothing right, milliseconds since 1970 UTC. */
  faultSince(rpc: Rpc): number | undefined {
    return this.#faults.get(rpc)?.since;
  }

  /** Names an endpoint for what it did, once as long as it goes on, and leaves it out for a while. */
  leaveOut(rpc: Rpc, error: PimsError): void {
    const before = this.#faults.get(rpc);
    const since = before?.since ?? this.#clock.now();
    this.#faults.set(rpc, { error, untilMs: this.#clock.monotonicMs() + LEFT_OUT_MS, since });
    const isNews = before?.error.message !== error.message;
    if (!isNews || this.all.length === 1) return;
    const what = error.message.replace(`the chain at ${rpc.name}`, "it");
    this.#report(`the ledger's endpoint ${rpc.name} is left out: ${what}`);
  }

  isRight(rpc: Rpc): void {
    this.#faults.delete(rpc);
  }

  /**
   * Asks several at the same time. Who fails is left out, and so is who keeps the others waiting when `enough` have
   * answered.
   */
  async ask<T>(rpcs: readonly Rpc[], enough: number, question: (rpc: Rpc) => Promise<T>): Promise<Told<T>[]> {
    const told: Told<T>[] = [];
    const waiting = new Set(rpcs);
    const late = Promise.withResolvers<void>();
    let grace: NodeJS.Timeout | undefined;
    let isOver = false;
    const asked = rpcs.map(async (rpc) => {
      try {
        told.push({ rpc, value: await question(rpc) });
      } catch (error) {
        if (!(error instanceof PimsError)) throw error;
        if (!isOver) this.leaveOut(rpc, error);
      }
      waiting.delete(rpc);
      if (told.length >= enough) grace ??= setTimeout(late.resolve, GRACE_MS);
    });
    try {
      await Promise.race([Promise.all(asked), late.promise]);
    } finally {
      clearTimeout(grace);
      isOver = true;
    }
    const answers = [...told];
    for (const rpc of waiting)
      this.leaveOut(rpc, new PimsError("ledger-unreachable", `the chain at ${rpc.name} answers too slowly`));
    return answers;
  }

  /** Asks one after the other, until one gives what can be used. Throws what the last one did. */
  async askInTurn<T>(rpcs: readonly Rpc[], question: (rpc: Rpc) => Promise<T>): Promise<T> {
    const right = this.withoutFault().filter((rpc) => rpcs.includes(rpc));
    let last: unknown;
    for (const rpc of right.length > 0 ? right : rpcs)
      try {
        return await question(rpc);
      } catch (error) {
        if (!(error instanceof PimsError)) throw error;
        this.leaveOut(rpc, error);
        last = error;
      }
    throw last;
  }
}
