// What this room's tests share: a verifier on a database file, with a clock of its own.
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestContext } from "node:test";
import type { InviteRequest, TpmIdentity } from "../attest/enrollment.ts";
import type { Evidence } from "../attest/evidence.ts";
import { invite, type Operated, readOperatorToken } from "../attest/operator.ts";
import { codeEvent, containerOf, digestOf, startEvent } from "../attest/sample-events.ts";
import { PCR, TestHost, temporaryFolder } from "../attest/testing.ts";
import { tokenDigest } from "../attest/token.ts";
import type { BaselineLookup } from "../attest/verdict.ts";
import type { Clock } from "../core/clock.ts";
import type { LogEvent } from "../log/event.ts";
import type { LogRecord } from "../log/record.ts";
import type { Certificate } from "../tpm/certificate/certificate.ts";
import { OPERATOR_TOKEN_FILE } from "./config.ts";
import { Enrollment } from "./enrollment.ts";
import { Store } from "./store.ts";
import { type Outcome, Verifier } from "./verifier.ts";

/** Some TPM that no maker vouches for. */
export const TPM: TpmIdentity = { ekName: `000b${"11".repeat(32)}`, certified: null };
/** Opens enrollment for any host, as often as a test likes. */
export const JOIN = "1f".repeat(32);
export const OPERATOR = "2e".repeat(32);
export const STALE_MS = 60_000;
export const web = containerOf("web");
export const listed = "/usr/bin/server";

export class TestClock implements Clock {
  wall = Date.parse("2026-01-02T03:04:05.000Z");
  monotonic = 1000;
  now = () => this.wall;
  monotonicMs = () => this.monotonic;
  pass(milliseconds: number) {
    this.wall += milliseconds;
    this.monotonic += milliseconds;
  }
}

/** A verifier on a database file, with a clock of its own and one baseline. */
export class Bench {
  readonly clock = new TestClock();
  readonly path: string;
  store: Store;
  verifier: Verifier;
  onProved: (host: string, records: readonly LogRecord[]) => void = () => {};
  lookup: BaselineLookup = {
    found: true,
    reference: {
      hasDigest: (sha256) => sha256 === digestOf(listed),
      hasPath: (path) => path === listed,
      exposes: () => false,
      mayCompile: () => false,
      mayBeDisplaced: () => false,
      mayPreload: () => false,
    },
  };

  /** Where baselines come from instead. */
  cache: ((identity: string) => Promise<BaselineLookup>) | undefined;

  constructor(path: string) {
    this.path = path;
    this.store = Store.open(path);
    this.verifier = this.#start();
  }

  static async open(t: TestContext): Promise<Bench> {
    const bench = new Bench(join(await temporaryFolder(t), "verifier.sqlite"));
    t.after(() => bench.store.close());
    return bench;
  }

  #start(): Verifier {
    const lookUp = async (identity: string): Promise<BaselineLookup> => {
      if (this.cache !== undefined) return this.cache(identity);
      return identity === web.image ? this.lookup : { found: false, reason: "no-baseline", text: "there is none" };
    };
    const onProved = (host: string, records: readonly LogRecord[]) => this.onProved(host, records);
    const modules = { store: this.store, clock: this.clock, lookUp, onProved };
    return new Verifier({ pcr: PCR, staleAfterMs: STALE_MS }, modules);
  }

  /** How hosts come to this verifier: any TPM will do unless it is said otherwise. */
  enrollment(options: { roots?: readonly Certificate[]; uncertified?: boolean } = {}): Enrollment {
    const forAny = { host: null, uncertified: false, anew: false, uses: 1000, expiresAt: Date.parse("2100-01-01") };
    this.store.enrollments.invite({ tokenDigest: tokenDigest(JOIN), ...forAny }, this.clock.now());
    return new Enrollment(
      { roots: options.roots ?? [], uncertified: options.uncertified ?? true, operator: tokenDigest(OPERATOR) },
      { verifier: this.verifier, store: this.store.enrollments, clock: this.clock },
    );
  }

  restart(): void {
    this.store.close();
    this.store = Store.open(this.path);
    this.verifier = this.#start();
  }

  /** Plays somebody else who writes to the database while the verifier does not run. */
  restartAltered(sql: string): void {
    this.store.close();
    const database = new DatabaseSync(this.path);
    database.exec(sql);
    database.close();
    this.store = Store.open(this.path);
    this.verifier = this.#start();
  }

  /** The honest agent's round: nonce, sweep, quote, evidence. */
  async attest(host: TestHost, ...events: LogEvent[]): Promise<Outcome> {
    return this.verifier.appraise("node1", await this.evidence(host, ...events));
  }

  evidence(host: TestHost, ...events: LogEvent[]): Promise<Evidence> {
    return host.answerTo(this.verifier.nonce("node1"), ...events);
  }

  /** Of the only container, with the host's standing. */
  async statuses(): Promise<string[]> {
    const { evidence, containers } = await this.verifier.reportHost("node1");
    return [evidence, ...containers.map(({ status }) => status)];
  }
}

/** An operator's decision on one host. */
export function invitationOf(host: string, decision: { uncertified?: boolean; anew?: boolean } = {}): InviteRequest {
  return { host, uncertified: true, anew: false, uses: 1, hours: 1, ...decision };
}

/** A token for one enrollment at a running verifier, from its operator. */
export async function joinToken(verifier: { address: string }, state: string, host: string): Promise<string> {
  return (await invite(await operatedBy(verifier, state), invitationOf(host))).token;
}

/** A running verifier as its operator talks to it. */
export async function operatedBy({ address }: { address: string }, state: string): Promise<Operated> {
  return { address, token: await readOperatorToken(join(state, OPERATOR_TOKEN_FILE)) };
}

/** A bench with an enrolled host that has one trusted container. */
export async function enrolled(t: TestContext): Promise<{ bench: Bench; host: TestHost; token: string }> {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  const token = bench.verifier.enroll("node1", host.akPublic, TPM);
  assert.deepEqual(await bench.attest(host, startEvent(web), codeEvent(web, listed)), { accepted: true, records: 3 });
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
  return { bench, host, token };
}

export function reasonOf(outcome: Outcome): string {
  return outcome.accepted ? "accepted" : outcome.reason;
}
