import { type Baseline, parseBaseline } from "../baseline/format.ts";
import { bytesEqual, fromHex, toHex } from "../core/bytes.ts";
import { ageMs, type Clock, type Instant, instant, rfc3339, systemClock } from "../core/clock.ts";
import { describeError, PimsError } from "../core/errors.ts";
import { Recent } from "../core/recent.ts";
import { HOLD_MS, type LedgerConfig } from "./config.ts";
import { hasEnded } from "./contract/baseline-end.ts";
import { type FollowedStore, followedInMemory } from "./header/followed-chain.ts";
import { type HeightStore, heightsInMemory } from "./header/ledger-height.ts";
import type { LedgerView } from "./ledger-view.ts";
import type { ProvedState } from "./proof/proved-state.ts";
import type { Proposal } from "./proposal.ts";
import { ProvedLedger } from "./proved-ledger.ts";

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
  | { readonly status: "revoked"; readonly text: string }
  /** `isApproved`: when the ledger could last be asked it was proved that a baseline is approved, whatever its entries are. */
  | { readonly status: "altered" | "unverified"; readonly text: string; readonly isApproved: boolean };

interface Answer {
  readonly state: BaselineState;
  /** When the ledger was asked: what it said later than that nobody knows. */
  readonly asked: Instant;
  readonly writes: number;
  /** When an approved baseline ends, seconds since 1970 UTC; zero: no end. */
  readonly until: bigint;
}

interface Failure {
  /** Entries that are not the root's, which no approval from before makes up for. */
  readonly isAltered: boolean;
  readonly text: string;
  readonly untilMs: number;
}

/** How old the chain's word may be before it is asked again. */
const FRESH_MS = 2000;
/** Bound of one question to the chain: whoever waits for a verdict must not wait for a chain that hangs. */
const TIMEOUT_MS = 2000;
/** Bound of one lookup, pieces and all: a download that takes longer goes on for the next. */
const LOOKUP_MS = 10_000;
/** How long an altered copy is reported, before the chain's own entries take its place. */
const ALTERED_MS = 10_000;
/** What is kept of images that somebody asks for: enough for all images of all hosts, and an end to made-up ones. */
const KEPT = { max: 16_384, idleMs: 600_000 };

/** What a cache may be given besides; without it nothing outlives it, and nobody is told. */
export interface CacheModules {
  readonly heights?: HeightStore;
  readonly followed?: FollowedStore;
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
  readonly #holdMs: number;
  readonly #answers = new Recent<Answer>(KEPT);
  /** Until when a chain that did not answer is not asked again, for any identity. */
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  #silence = "";
  /** Identities of which it was proved that a baseline is approved, until another thing was. */
  readonly #approvals = new Recent<true>(KEPT);
  readonly #running = new Map<string, Promise<BaselineState>>();
  /** What could not be read is not asked for again at once; what was approved before stays in `#answers`. */
  readonly #failures = new Recent<Failure>(KEPT);

  constructor(
    ledger: LedgerConfig,
    store: BaselineStore = memoryStore(),
    clock: Clock = systemClock,
    { heights = heightsInMemory(), followed = followedInMemory(), report = () => {} }: CacheModules = {},
  ) {
    this.#ledger = new ProvedLedger(ledger, { clock, heights, followed, report, timeoutMs: TIMEOUT_MS });
    this.#holdMs = ledger.holdMs ?? HOLD_MS;
    this.#store = store;
    this.#clock = clock;
  }

  /** What it reads by, for whoever reads something else on the same chain. */
  get ledger(): ProvedLedger {
    return this.#ledger;
  }

  /** The baseline of an image identity, or why there is none. Does not throw for what the ledger says or fails to say. */
  async lookUp(identity: string): Promise<BaselineState> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#answers.get(identity, nowMs);
    if (known !== undefined && this.#isFresh(known)) return known.state;
    const failed = this.#failures.get(identity, nowMs);
    if (failed !== undefined && nowMs < failed.untilMs) return this.#failed(identity, failed);
    let running = this.#running.get(identity);
    if (running === undefined) {
      running = this.#refresh(identity, known).finally(() => this.#running.delete(identity));
      this.#running.set(identity, running);
    }
    const late = Promise.withResolvers<BaselineState>();
    const text = `the ledger has not given the baseline within ${LOOKUP_MS / 1000} s`;
    const timer = setTimeout(() => late.resolve(this.#withoutChain(identity, text)), LOOKUP_MS);
    try {
      return await Promise.race([running, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What is known of the ledger itself now. */
  view(): Promise<LedgerView> {
    return this.#ledger.view();
  }

  #isFresh(answer: Answer): boolean {
    const { state, writes, until } = answer;
    if (hasEnded(until, this.#clock.now())) return false;
    const age = ageMs(this.#clock, answer.asked);
    if (state.status === "altered") return age < ALTERED_MS;
    return age < FRESH_MS && writes === this.#store.foreignWrites();
  }

  async #refresh(identity: string, known: Answer | undefined): Promise<BaselineState> {
    const writes = this.#store.foreignWrites();
    const asked = instant(this.#clock);
    if (asked.monotonicMs < this.#silentUntilMs) return this.#withoutChain(identity, this.#silence);
    let read: { state: BaselineState; until: bigint };
    try {
      read = await this.#read(identity, known, writes);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      const text = describeError(error);
      const nowMs = this.#clock.monotonicMs();
      if (error.code === "ledger-unreachable") {
        this.#silence = text;
        this.#silentUntilMs = nowMs + FRESH_MS;
        return this.#withoutChain(identity, text);
      }
      const isAltered = error.code === "baseline-altered";
      const failure = { isAltered, text, untilMs: nowMs + (isAltered ? ALTERED_MS : FRESH_MS) };
      this.#failures.set(identity, failure, nowMs);
      return this.#failed(identity, failure);
    }
    this.#failures.delete(identity);
    this.#answers.set(identity, { ...read, asked, writes }, this.#clock.monotonicMs());
    return read.state;
  }

  #failed(identity: string, { isAltered, text }: Failure): BaselineState {
    return isAltered ? this.#undecided("altered", identity, text) : this.#withoutChain(identity, text);
  }

  /** An approval that was read a short time ago outlives a ledger of which nothing can be proved, but not for ever. */
  #withoutChain(identity: string, text: string): BaselineState {
    const known = this.#answers.get(identity, this.#clock.monotonicMs());
    if (known?.state.status !== "approved" || ageMs(this.#clock, known.asked) >= this.#holdMs)
      return this.#undecided("unverified", identity, text);
    return hasEnded(known.until, this.#clock.now()) ? superseded(known.until) : known.state;
  }

  #undecided(status: "altered" | "unverified", identity: string, text: string): BaselineState {
    return { status, text, isApproved: this.#approvals.get(identity, this.#clock.monotonicMs()) !== undefined };
  }

  async #read(
    identity: string,
    known: Answer | undefined,
    writes: number,
  ): Promise<{ state: BaselineState; until: bigint }> {
    const standing = await this.#ledger.standingOf(identity);
    this.#approvals.delete(identity);
    if (standing.status === "revoked") return { state: revoked(), until: 0n };
    if (standing.status !== "approved") return { state: { status: standing.status }, until: 0n };
    const approval = { ...standing.proved, proposal: standing.proposal };
    const { until } = approval.proposal;
    if (hasEnded(until, this.#clock.now())) return { state: superseded(until), until: 0n };
    this.#approvals.set(identity, true, this.#clock.monotonicMs());
    return { state: await this.#approved(identity, approval, known, writes), until };
  }

  async #approved(
    identity: string,
    approval: Approval,
    known: Answer | undefined,
    writes: number,
  ): Promise<BaselineState> {
    const root = fromHex(approval.proposal.root.slice(2));
    // That another one has taken its place is proved, whether that one can be had or not.
    if (known?.state.status === "approved" && !bytesEqual(known.state.baseline.root, root))
      this.#answers.delete(identity);
    if (known?.state.status === "approved" && known.writes === writes && bytesEqual(known.state.baseline.root, root))
      return { status: "approved", baseline: known.state.baseline, approval };
    const copy = this.#store.read(identity);
    if (copy !== null && copy.root === toHex(root)) {
      const baseline = parseCopy(copy, root);
      if (baseline !== null) return { status: "approved", baseline, approval };
      this.#store.forget(identity);
      const text = `the stored copy of the baseline of ${identity} is not what the ledger's root says`;
      return this.#undecided("altered", identity, text);
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

/** Copies in memory: of as many images as one host may well run. */
function memoryStore(): BaselineStore {
  const copies = new Recent<BaselineCopy>({ max: 256, idleMs: Number.POSITIVE_INFINITY });
  return {
    read: (identity) => copies.get(identity, 0) ?? null,
    write: (identity, copy) => copies.set(identity, copy, 0),
    forget: (identity) => copies.delete(identity),
    foreignWrites: () => 0,
  };
}
