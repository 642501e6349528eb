import { type Baseline, parseBaseline } from "../baseline/format.ts";
import { bytesEqual, fromHex, toHex } from "../core/bytes.ts";
import { type Clock, rfc3339, systemClock } from "../core/clock.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { LedgerConfig } from "./config.ts";
import { type HeightStore, heightsInMemory } from "./ledger-height.ts";
import type { Proposal } from "./proposal.ts";
import { ProvedLedger } from "./proved-ledger.ts";
import type { ProvedState } from "./proved-state.ts";
import { hasEnded } from "./registry-reads.ts";

/** A copy of a baseline's lines, with the root that they had when they were copied. Neither is believed when read. */
export interface BaselineCopy {
  readonly root: string;
  readonly lines: readonly string[];
}

/** Where copies are kept. */
export interface BaselineStore {
  read(identity: string): BaselineCopy | null;
  write(identity: string, copy: BaselineCopy): void;
  forget(identity: string): void;
  /** A number that changes when somebody else wrote to the store. */
  foreignWrites(): number;
}

/** Where it stands that a baseline is approved, and what proves that. */
export interface Approval extends ProvedState {
  readonly proposal: Proposal;
}

export type BaselineState =
  | { readonly status: "approved"; readonly baseline: Baseline; readonly approval: Approval }
  | { readonly status: "proposed" | "none" }
  | { readonly status: "revoked" | "altered" | "unverified"; readonly text: string };

interface Answer {
  readonly state: BaselineState;
  readonly atMs: number;
  readonly writes: number;
  /** When an approved baseline ends, seconds since 1970 UTC; zero: no end. */
  readonly until: bigint;
}

/** How old the chain's word may be before it is asked again. */
const FRESH_MS = 2000;
/** Bound of one question to the chain: whoever waits for a verdict must not wait for a chain that hangs. */
const TIMEOUT_MS = 2000;
/** Bound of one lookup, pieces and all: a download that takes longer goes on for the next. */
const LOOKUP_MS = 10_000;
/** How long an altered copy is reported, before the chain's own entries take its place. */
const ALTERED_MS = 10_000;
/** How long an approved baseline holds while the chain does not answer. */
const HOLD_MS = 600_000;

/** What a cache may be given besides; without it nothing outlives it, and nobody is told. */
export interface CacheModules {
  readonly heights?: HeightStore;
  /** Is told of endpoints that are left out. */
  readonly report?: (text: string) => void;
}

/**
 * Reads baselines from the ledger and keeps copies, so that a judgement costs no download. The root in the contract's
 * state, which is proved, decides each time; a copy that does not lead to it is `altered` and thrown away.
 */
export class BaselineCache {
  readonly #ledger: ProvedLedger;
  readonly #store: BaselineStore;
  readonly #clock: Clock;
  readonly #answers = new Map<string, Answer>();
  /** Until when a chain that did not answer is not asked again, for any identity. */
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  #silence = "";
  readonly #running = new Map<string, Promise<BaselineState>>();
  /** What could not be read is not asked for again at once; what was approved before stays in `#answers`. */
  readonly #failures = new Map<string, { readonly state: BaselineState; readonly untilMs: number }>();

  constructor(
    ledger: LedgerConfig,
    store: BaselineStore = memoryStore(),
    clock: Clock = systemClock,
    { heights = heightsInMemory(), report = () => {} }: CacheModules = {},
  ) {
    this.#ledger = new ProvedLedger(ledger, { clock, heights, report, timeoutMs: TIMEOUT_MS });
    this.#store = store;
    this.#clock = clock;
  }

  /** The baseline of an image identity, or why there is none. Does not throw for what the ledger says or fails to say. */
  async lookUp(identity: string): Promise<BaselineState> {
    const known = this.#answers.get(identity);
    if (known !== undefined && this.#isFresh(known)) return known.state;
    const failed = this.#failures.get(identity);
    if (failed !== undefined && this.#clock.monotonicMs() < failed.untilMs) return failed.state;
    let running = this.#running.get(identity);
    if (running === undefined) {
      running = this.#refresh(identity, known).finally(() => this.#running.delete(identity));
      this.#running.set(identity, running);
    }
    const late = Promise.withResolvers<BaselineState>();
    const text = `the ledger has not given the baseline within ${LOOKUP_MS / 1000} s`;
    const timer = setTimeout(() => late.resolve(this.#withoutChain(known, text)), LOOKUP_MS);
    try {
      return await Promise.race([running, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #isFresh({ state, atMs, writes, until }: Answer): boolean {
    if (hasEnded(until, this.#clock.now())) return false;
    const age = this.#clock.monotonicMs() - atMs;
    if (state.status === "altered") return age < ALTERED_MS;
    return age < FRESH_MS && writes === this.#store.foreignWrites();
  }

  async #refresh(identity: string, known: Answer | undefined): Promise<BaselineState> {
    const writes = this.#store.foreignWrites();
    let read: { state: BaselineState; until: bigint };
    if (this.#clock.monotonicMs() < this.#silentUntilMs) return this.#withoutChain(known, this.#silence);
    try {
      read = await this.#read(identity, known, writes);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      const text = describeError(error);
      const nowMs = this.#clock.monotonicMs();
      if (error.code === "ledger-unreachable") {
        this.#silence = text;
        this.#silentUntilMs = nowMs + FRESH_MS;
        return this.#withoutChain(known, text);
      }
      const isAltered = error.code === "baseline-altered";
      const state = isAltered ? ({ status: "altered", text } as const) : this.#withoutChain(known, text);
      this.#failures.set(identity, { state, untilMs: nowMs + (isAltered ? ALTERED_MS : FRESH_MS) });
      return state;
    }
    this.#failures.delete(identity);
    this.#answers.set(identity, { ...read, atMs: this.#clock.monotonicMs(), writes });
    return read.state;
  }

  /** An approval that was read a short time ago outlives a chain that does not answer, but not for ever. */
  #withoutChain(known: Answer | undefined, text: string): BaselineState {
    if (known?.state.status === "approved" && this.#clock.monotonicMs() - known.atMs < HOLD_MS)
      return hasEnded(known.until, this.#clock.now()) ? superseded(known.until) : known.state;
    return { status: "unverified", text };
  }

  async #read(
    identity: string,
    known: Answer | undefined,
    writes: number,
  ): Promise<{ state: BaselineState; until: bigint }> {
    const standing = await this.#ledger.standingOf(identity);
    if (standing.status === "revoked") return { state: revoked(), until: 0n };
    if (standing.status !== "approved") return { state: { status: standing.status }, until: 0n };
    const approval = { ...standing.proved, proposal: standing.proposal };
    const { until } = approval.proposal;
    if (hasEnded(until, this.#clock.now())) return { state: superseded(until), until: 0n };
    return { state: await this.#approved(identity, approval, known, writes), until };
  }

  async #approved(
    identity: string,
    approval: Approval,
    known: Answer | undefined,
    writes: number,
  ): Promise<BaselineState> {
    const root = fromHex(approval.proposal.root.slice(2));
    if (known?.state.status === "approved" && known.writes === writes && bytesEqual(known.state.baseline.root, root))
      return { status: "approved", baseline: known.state.baseline, approval };
    const copy = this.#store.read(identity);
    if (copy !== null && copy.root === toHex(root)) {
      const baseline = parseCopy(copy, root);
      if (baseline !== null) return { status: "approved", baseline, approval };
      this.#store.forget(identity);
      return {
        status: "altered",
        text: `the stored copy of the baseline of ${identity} is not what the ledger's root says`,
      };
    }
    const baseline = await this.#ledger.baselineOf(approval.proposal);
    this.#store.write(identity, { root: toHex(root), lines: baseline.lines });
    return { status: "approved", baseline, approval };
  }
}

function revoked(): BaselineState {
  return { status: "revoked", text: "a publisher has revoked the image's baseline" };
}

function superseded(until: bigint): BaselineState {
  const text = `another image has taken this one's place, its baseline ended at ${rfc3339(Number(until) * 1000)}`;
  return { status: "revoked", text };
}

function parseCopy(copy: BaselineCopy, root: Uint8Array): Baseline | null {
  try {
    const baseline = parseBaseline(copy.lines);
    return bytesEqual(baseline.root, root) ? baseline : null;
  } catch {
    // Not even a baseline any more.
    return null;
  }
}

function memoryStore(): BaselineStore {
  const copies = new Map<string, BaselineCopy>();
  return {
    read: (identity) => copies.get(identity) ?? null,
    write: (identity, copy) => void copies.set(identity, copy),
    forget: (identity) => void copies.delete(identity),
    foreignWrites: () => 0,
  };
}
