import type { NonceAnswer } from "../attest/api.ts";
import { appraise } from "../attest/appraise.ts";
import type { TpmIdentity, TpmNotice } from "../attest/enrollment.ts";
import type { Evidence } from "../attest/evidence.ts";
import { applyRecords, emptyHostState, type HostState, keyOf } from "../attest/host-state.ts";
import type { PlatformVerdict } from "../attest/judge-platform.ts";
import type { PlatformState } from "../attest/platform-state.ts";
import type { HostReport } from "../attest/report.ts";
import { hasDigest, makeToken, tokenDigest } from "../attest/token.ts";
import { bytesEqual } from "../core/bytes.ts";
import { rfc3339 } from "../core/clock.ts";
import { PimsError } from "../core/errors.ts";
import type { Reason } from "../log/finding.ts";
import { isNvIndex } from "../log/pcr.ts";
import { type LogRecord, parseRecord } from "../log/record.ts";
import { isRestrictedSigningKey, parsePublic } from "../tpm/public.ts";
import { publicKeyOf } from "../tpm/public-key.ts";
import { Nonces } from "./nonces.ts";
import { rebuildStates } from "./rebuild.ts";
import { RecordsAhead, RecordsRoom } from "./records-ahead.ts";
import { Reports, type ReportsModules, type ReportsOptions } from "./reports.ts";
import type { HostRow } from "./store.ts";
import { Wanted } from "./wanted.ts";

export interface VerifierOptions extends ReportsOptions {
  /** Handle of the register that agents extend: a PCR or an NV index. */
  readonly pcr: number;
}

export interface VerifierModules extends ReportsModules {
  /** Told of records as soon as they are proved. */
  onProved?(host: string, records: readonly LogRecord[]): void;
}

export type Outcome =
  | { readonly accepted: true; readonly records: number }
  | { readonly accepted: false; readonly reason: Reason; readonly text: string };

interface HostMemory {
  readonly nonces: Nonces;
  readonly state: HostState;
  /** An attestation before the agent's next interval. */
  readonly wanted: Wanted<Outcome>;
  /** Records that were sent ahead of the evidence that will prove them: kept, not believed. */
  readonly ahead: RecordsAhead;
}

const RECORDS_A_READ = 1024;
const HOST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Knows the hosts, appraises their evidence and decides on their containers. Believes nothing of a host that no accepted
 * quote has proved; all that it believes is in the store, so it starts again where it stopped.
 */
export class Verifier {
  readonly #options: VerifierOptions;
  readonly #modules: VerifierModules;
  readonly #reports: Reports;
  readonly #memories = new Map<string, HostMemory>();
  readonly #room = new RecordsRoom();
  /** One appraisal at a time for each host, since each builds on what the one before proved. */
  readonly #turns = new Map<string, Promise<unknown>>();

  /** Goes on from what the store holds. Throws `store-unusable` when that is not what was proved. */
  constructor(options: VerifierOptions, modules: VerifierModules) {
    this.#options = options;
    this.#modules = modules;
    this.#reports = new Reports(options, modules);
    for (const [host, state] of rebuildStates(modules.store)) this.#memories.set(host, memoryOf(state, this.#room));
  }

  /** PimsError `host-invalid` for what cannot be a host's name. */
  checkHostName(host: string): void {
    if (!HOST_NAME.test(host))
      throw new PimsError("host-invalid", "a host's name is 1 to 63 letters, digits, dots or dashes");
  }

  /** PimsError `host-invalid`, `quote-invalid` or `tpm-malformed` for a name or a key with which no host is enrolled. */
  checkEnrollable(host: string, akPublic: Uint8Array): void {
    this.checkHostName(host);
    if (!isRestrictedSigningKey(akPublic))
      throw new PimsError(
        "quote-invalid",
        "the attestation key is not a restricted signing key that is fixed to its TPM",
      );
    const area = parsePublic(akPublic);
    publicKeyOf(area);
    // Evidence is replayed to a digest by the hash of the key's scheme, and that is this one.
    if (area.scheme?.hash !== "sha256")
      throw new PimsError("quote-invalid", "the attestation key does not sign with SHA-256");
  }

  /**
   * Takes a host's attestation key, which the caller has seen proved to be of this TPM. The same key again only renews the
   * token; another key or TPM is PimsError `tpm-changed` unless it is expected: then what was proved is forgotten. Returns
   * the host's own token.
   */
  enroll(host: string, akPublic: Uint8Array, tpm: TpmIdentity, expected: { anew: boolean } = { anew: false }): string {
    this.checkEnrollable(host, akPublic);
    const token = makeToken();
    const { store } = this.#modules;
    const known = store.host(host);
    if (known === null || expected.anew) {
      store.enroll(host, akPublic, tokenDigest(token), tpm);
      this.#modules.platforms?.forget(host);
      this.#memories.set(host, memoryOf(emptyHostState(), this.#room));
    } else {
      const before = store.enrollments.identity(host);
      const sameTpm = before === null || before.ekName === tpm.ekName;
      if (!sameTpm || !bytesEqual(known.akPublic, akPublic)) {
        const text = sameTpm
          ? "its TPM showed another attestation key under this host's name"
          : "another TPM was shown under this host's name";
        this.refuseTpm(host, "tpm-changed", text);
        throw new PimsError("tpm-changed", `${host} is enrolled with another ${sameTpm ? "attestation key" : "TPM"}`, {
          hint: "'pims host enroll HOST --anew' lets it come anew",
        });
      }
      store.renewToken(host, tokenDigest(token), tpm);
    }
    return token;
  }

  /** Refuses a host for its TPM, and keeps it noted until an operator decides. */
  refuseTpm(host: string, reason: TpmNotice["reason"], text: string): void {
    this.#row(host);
    // A lesser thing must not take the place of what ended the host's standing.
    if (this.#modules.store.enrollments.ousted(host) === null || reason === "host-revoked")
      this.#modules.store.enrollments.setNotice(host, { reason, text, at: rfc3339(this.#modules.clock.now()) });
    this.#refuse(host, reason, text);
  }

  /** Whether a token is the host's. */
  isHostToken(host: string, token: string): boolean {
    const row = this.#modules.store.host(host);
    return row !== null && hasDigest(token, row.tokenDigest);
  }

  /** PimsError `host-revoked` or `host-cloned` for a host of which nothing is taken, and to which nothing is given. */
  checkStanding(host: string): void {
    const ousted = this.#modules.store.enrollments.ousted(host);
    if (ousted !== null) throw new PimsError(ousted.reason, `no evidence of ${host} is taken: ${ousted.text}`);
  }

  /** A nonce for the next evidence, and the number of the first record that the verifier lacks. */
  nonce(host: string): NonceAnswer {
    const memory = this.#memory(host);
    this.checkStanding(host);
    const nowMs = this.#modules.clock.monotonicMs();
    this.#room.expire(nowMs);
    memory.wanted.begin();
    const platform = this.#modules.platforms?.wanted(host);
    const { proved } = this.#row(host);
    return {
      nonce: memory.nonces.give(nowMs),
      from: proved.length,
      boot: proved.bootId,
      ...(platform === undefined ? {} : { platform }),
    };
  }

  /**
   * Keeps records of a host that lacks more than one message takes, until evidence comes that goes on after them. Returns
   * the number of the next record. Throws `records-refused` when they do not follow what was proved or sent ahead, or there is
   * no room for them; what `checkStanding` throws.
   */
  stage(host: string, from: number, records: readonly string[]): number {
    this.checkStanding(host);
    const nowMs = this.#modules.clock.monotonicMs();
    return this.#memory(host).ahead.add(from, records, this.#row(host).proved.length, nowMs);
  }

  /** Appraises evidence and stores what it proves. A refusal is an answer, not an error. */
  appraise(host: string, evidence: Evidence): Promise<Outcome> {
    const work = async () => {
      const memory = this.#memory(host);
      const outcome = await this.#appraise(host, memory, evidence);
      memory.wanted.end(outcome);
      return outcome;
    };
    const result = (this.#turns.get(host) ?? Promise.resolve()).then(work);
    this.#turns.set(
      host,
      result.catch(() => undefined),
    );
    return result;
  }

  async #appraise(host: string, memory: HostMemory, evidence: Evidence): Promise<Outcome> {
    const { store, clock, platforms } = this.#modules;
    if (!memory.nonces.take(evidence.nonce, clock.monotonicMs()))
      return this.#refuse(host, "nonce-mismatch", "the evidence answers a nonce that is not open");
    const ousted = this.#modules.store.enrollments.ousted(host);
    if (ousted !== null) return this.#refuse(host, ousted.reason, ousted.text);
    const { akPublic, proved } = this.#row(host);
    const whole = memory.ahead.complete(evidence);
    const { pcr } = this.#options;
    const first = isNvIndex(pcr) ? store.log.read(host, 0, 1).map((line) => parseRecord(line, 0))[0] : undefined;
    const knowsBoot = (bootId: string) => store.log.boot(host, bootId) !== null;
    const expected = { akPublic, nonce: evidence.nonce, pcr, first, knowsBoot, platform: platforms?.expected(host) };
    const result = appraise(whole, expected, proved);
    if (!result.accepted) return this.#refuse(host, result.reason, result.text);
    store.accept(host, result, clock.now(), whole);
    if (result.platform !== null) platforms?.keep(host, result.platform);
    // Apart, as how long the sweeper stood still in another boot is no news.
    for (const { records } of result.told) applyRecords(memory.state, records);
    applyRecords(memory.state, result.records);
    await this.#reports.keepVerdicts(this.#row(host), memory.state);
    this.#modules.onProved?.(host, result.records);
    return { accepted: true, records: result.proved.length };
  }

  #refuse(host: string, reason: Reason, text: string): Outcome {
    this.#modules.store.refuse(host, reason, text, this.#modules.clock.now());
    return { accepted: false, reason, text };
  }

  /** Every host with its containers, judged now. */
  async report(): Promise<HostReport[]> {
    return Promise.all(this.#modules.store.hosts().map((row) => this.#reports.of(row, this.#memory(row.name).state)));
  }

  /** One host. Throws `host-unknown`. */
  async reportHost(host: string): Promise<HostReport> {
    return this.#reports.of(this.#row(host), this.#memory(host).state);
  }

  /** Asks the agent for evidence now and waits for its appraisal, at most `timeoutMs`; null when none came. */
  async attestNow(host: string, timeoutMs: number, gone?: AbortSignal): Promise<Outcome | null> {
    return this.#memory(host).wanted.ask(timeoutMs, gone);
  }

  /** Waits until somebody wants an attestation of this host, at most `timeoutMs`. Throws what `checkStanding` throws. */
  async waitForWanted(host: string, timeoutMs: number, signal: AbortSignal, isAwaited = () => false): Promise<boolean> {
    const { wanted } = this.#memory(host);
    this.checkStanding(host);
    if (wanted.isWanted || signal.aborted || isAwaited()) return wanted.isWanted;
    await wanted.wait(timeoutMs, signal);
    this.checkStanding(host);
    return wanted.isWanted;
  }

  /** Lets the agent that asks what is wanted come back, as there is something. */
  wake(host: string): void {
    this.#memory(host).wanted.wake();
  }

  /** PimsError `container-unknown` for a container that the host's proved log does not have, or that has stopped. */
  checkLiving(host: string, container: { runtime: string; id: string }): void {
    const known = this.#memory(host).state.containers.get(keyOf(container));
    if (known === undefined || known.stoppedAt !== null)
      throw new PimsError("container-unknown", `${host} has no such container, or it has stopped`);
  }

  /** Records of a host's last boot, or of another one, as it sent them. Throws `host-unknown`, `boot-unknown`. */
  records(host: string, from: number, bootId?: string): string[] {
    this.#row(host);
    const { log } = this.#modules.store;
    if (bootId === undefined) return log.read(host, from, RECORDS_A_READ);
    const boot = log.boot(host, bootId);
    if (boot === null) throw new PimsError("boot-unknown", `no boot ${bootId} of ${host} is known`);
    return log.read(host, from, RECORDS_A_READ, boot.ordinal);
  }

  /** What was proved of what is below a host's agent, judged now; null where that is not asked for. Throws `host-unknown`. */
  platform(host: string): { state: PlatformState | null; verdict: PlatformVerdict } | null {
    this.#row(host);
    const { platforms } = this.#modules;
    return platforms === undefined ? null : { state: platforms.state(host), verdict: platforms.judge(host) };
  }

  #row(host: string): HostRow {
    const row = this.#modules.store.host(host);
    if (row === null) throw unknownHost(host);
    return row;
  }

  #memory(host: string): HostMemory {
    const memory = this.#memories.get(host);
    if (memory === undefined) throw unknownHost(host);
    return memory;
  }
}

function memoryOf(state: HostState, room: RecordsRoom): HostMemory {
  return {
    nonces: new Nonces(),
    state,
    wanted: new Wanted(),
    ahead: new RecordsAhead(room),
  };
}

function unknownHost(host: string): PimsError {
  return new PimsError("host-unknown", `no host ${JSON.stringify(host.slice(0, 64))} is enrolled`, {
    hint: "'pims status' lists the hosts",
  });
}
