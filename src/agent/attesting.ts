import { collectEvidence, type Quoter } from "../attest/collect.ts";
import type { SignedOrder } from "../attest/order.ts";
import type { PlatformWanted } from "../attest/platform-evidence.ts";
import { fromHex } from "../core/bytes.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { describeError, errorCode } from "../core/errors.ts";
import type { MeasurementLog } from "../log/measurement-log.ts";
import type { CoverageCounter } from "./coverage.ts";
import type { EarlierBoots } from "./earlier-boots.ts";
import type { LogQueue } from "./log-queue.ts";
import type { OrderTaker } from "./order-taker.ts";
import { Signal } from "./signal.ts";
import type { Turns } from "./turns.ts";
import type { VerifierClient } from "./verifier-client.ts";
import { within } from "./within.ts";

export interface AttestingOptions {
  readonly attestIntervalMs: number;
  /** How long an answer waits for a first sweep; 30 s without it. */
  readonly sweepWaitMs?: number;
}

export interface AttestingModules {
  readonly log: MeasurementLog;
  /** Which boot's log it is, and what came before. */
  readonly boot: EarlierBoots;
  readonly verifier: VerifierClient;
  readonly quote: Quoter;
  /** Quotes what is below the agent, too; without it a verifier that asks for that refuses the evidence. */
  readonly quotePlatform?: (nonce: Uint8Array, wanted: PlatformWanted) => ReturnType<Quoter>;
  readonly clock: Clock;
  /** The verifier's orders; without it none are taken. */
  readonly orders?: OrderTaker;
  /** Enrolls again at a verifier that does not know this host's token any more. False when that is not possible. */
  enrollAgain(): Promise<boolean>;
}

/** What of the agent is attested to. */
export interface Attested {
  readonly queue: LogQueue;
  readonly turns: Turns;
  readonly coverage: CoverageCounter;
  /** Aborted when the agent is to stop. */
  readonly stopping: AbortSignal;
  /** The sweep that is under way, or a new one. */
  sweep(): Promise<void>;
  /** Carries out an order, the answer to this challenge. */
  obey(order: SignedOrder, challenge: string): Promise<void>;
  /** The verifier has accepted evidence of so many records. */
  onProved(records: number): Promise<void>;
  /** Tells the operator, but not the same thing again. */
  say(topic: string, text: string): void;
}

/** How long the verifier may hold the request that asks whether evidence is wanted. */
const WANTED_WAIT_MS = 25_000;
const RETRY_MS = 1000;
/** After a refusal that only an operator ends: to send the whole log each second would harm both sides. */
const TOO_MANY_RETRY_MS = 60_000;
/** How long an answer waits for a first sweep: half a nonce's life. A sweeper that hangs is told of, not waited for. */
const SWEEP_WAIT_MS = 30_000;
/** How long it does while something that was found waits, since only until it is proved can it be lost. */
const FOUND_WAIT_MS = 2000;
const POLL_MS = 250;

/** Proves the log to the verifier: at each interval, when it is asked for, and at once where something is wrong. */
export class Attesting {
  readonly #options: AttestingOptions;
  readonly #modules: AttestingModules;
  readonly #agent: Attested;
  readonly #wish = new Signal();

  constructor(options: AttestingOptions, modules: AttestingModules, agent: Attested) {
    this.#options = options;
    this.#modules = modules;
    this.#agent = agent;
  }

  /** Does not wait for the next interval. */
  attestNow(): void {
    this.#wish.set();
  }

  /** Goes on until the agent stops. Throws when log and TPM may be apart: going on would prove nothing. */
  async run(): Promise<void> {
    const { stopping, say } = this.#agent;
    let waitMs = 0;
    while (!stopping.aborted) {
      await this.#wish.wait(waitMs, stopping);
      if (stopping.aborted) return;
      waitMs = this.#options.attestIntervalMs;
      try {
        await this.#attest();
      } catch (error) {
        if (this.#isFatal()) throw error;
        if (errorCode(error) === "not-authorized" && (await this.#enrollAgain())) continue;
        say("attest", `no evidence could be given: ${describeError(error)}`);
        await this.#checkRegister();
        waitMs =
          errorCode(error) === "records-too-many" ? Math.max(TOO_MANY_RETRY_MS, waitMs) : Math.min(RETRY_MS, waitMs);
      }
    }
  }

  /** Asks the verifier, again and again, whether somebody wants evidence now, or orders something. */
  async listen(): Promise<void> {
    const { stopping, obey } = this.#agent;
    const { verifier, orders } = this.#modules;
    while (!stopping.aborted) {
      try {
        const challenge = await orders?.challenge();
        const { wanted, order } = await verifier.wanted(WANTED_WAIT_MS, stopping, challenge);
        if (order !== null && challenge !== undefined) await obey(order, challenge);
        if (wanted) {
          this.attestNow();
          // The verifier goes on wanting until the nonce is asked for.
          await new Signal().wait(RETRY_MS / 4, stopping);
        }
      } catch {
        // An unreachable verifier is reported by whoever has evidence for it.
        await new Signal().wait(RETRY_MS, stopping);
      }
    }
  }

  #isFatal(): boolean {
    return this.#modules.log.failed || this.#agent.queue.hasFailed;
  }

  /** A verifier that lost its memory is given everything anew. */
  async #enrollAgain(): Promise<boolean> {
    try {
      return await this.#modules.enrollAgain();
    } catch (error) {
      this.#agent.say("enroll", describeError(error));
      return false;
    }
  }

  /** Nonce, sweep record, quote, records: so a fresh quote proves fresh measuring. */
  async #attest(): Promise<void> {
    const { verifier, log, boot } = this.#modules;
    const { coverage, stopping, say, onProved } = this.#agent;
    const { nonce, from, boot: known, platform } = await verifier.nonce();
    const anew = known !== null && known !== boot.id;
    if (coverage.sweeps === 0) await this.#untilSwept();
    if (stopping.aborted) return;
    // What the verifier knows of below the agent is another boot's, too.
    const quoted = await this.#sealAndQuote(nonce, anew && platform ? { firmwareLog: true, imaFrom: 0 } : platform);
    if (quoted === null) return;
    const { quote, proved } = quoted;
    const evidence = await collectEvidence({
      segments: log.segmentsFrom(anew ? 0 : from),
      from,
      ...(anew ? { earlier: boot.since(known) } : {}),
      nonce: fromHex(nonce),
      quote: async () => quote,
    });
    const outcome = await verifier.evidence(evidence);
    if (outcome.accepted) {
      proved(this.#modules.clock.monotonicMs());
      await onProved(outcome.records);
    }
    say(
      "attest",
      outcome.accepted
        ? "the verifier accepts the evidence"
        : `the verifier refuses the evidence (${outcome.reason}): ${outcome.text}`,
    );
  }

  /** Waits for a sweep, so that there is one to tell of; not long while something that was found waits to be proved. */
  async #untilSwept(): Promise<void> {
    const { coverage, stopping, sweep, say } = this.#agent;
    const { clock } = this.#modules;
    const waitMs = this.#options.sweepWaitMs ?? SWEEP_WAIT_MS;
    const beginMs = clock.monotonicMs();
    for (let nowMs = beginMs; !stopping.aborted; nowMs = clock.monotonicMs()) {
      const waitedMs = nowMs - beginMs;
      if (waitedMs >= waitMs)
        return say("sweep", `a sweep takes longer than ${waitMs / 1000} s; the verifier is told so`);
      if (coverage.proof.waitingMs(nowMs) >= FOUND_WAIT_MS) {
        // Until then the host is stale.
        void sweep().then(
          () => this.attestNow(),
          () => {},
        );
        return;
      }
      if (await within(Math.min(POLL_MS, waitMs - waitedMs), sweep(), stopping)) return;
    }
  }

  /**
   * The sweep record, last in the log for as long as it is quoted, with the facts of its sweeps before it. Null when the
   * agent has stopped. Throws what somebody else did to the register.
   */
  async #sealAndQuote(nonce: string, platform: PlatformWanted | undefined) {
    const { log, clock } = this.#modules;
    const { turns, queue, coverage } = this.#agent;
    const taken = await turns.take(async () => {
      const event = coverage.take(nonce, rfc3339(clock.now()), clock.monotonicMs());
      const proved = coverage.proof.cover();
      const sealed = queue.seal(event, async () => {
        const wrong = await log.checkRegister();
        if (wrong !== null) throw wrong;
        return { proved, quote: await this.#quoter(platform)(fromHex(nonce)) };
      });
      // Others may take their turns meanwhile.
      return { sealed };
    });
    return taken === undefined ? null : taken.sealed;
  }

  #quoter(wanted: PlatformWanted | undefined): Quoter {
    const { quote, quotePlatform } = this.#modules;
    if (wanted === undefined || quotePlatform === undefined) return quote;
    return (nonce) => quotePlatform(nonce, wanted);
  }

  /** Throws when somebody else has used the register, also while there is no verifier to prove anything to. */
  async #checkRegister(): Promise<void> {
    try {
      const wrong = await this.#modules.log.checkRegister();
      if (wrong !== null) throw wrong;
    } catch (error) {
      if (this.#isFatal()) throw error;
    }
  }
}
