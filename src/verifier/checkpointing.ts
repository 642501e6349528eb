import { mkdir, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { HostReport } from "../attest/report.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { describeError, errorCode } from "../core/errors.ts";
import { replacePrivateFile } from "../core/private-file.ts";
import { checkpointRoot, nextCheckpoint, readCheckpoint, sendCheckpoint } from "../ledger/checkpoints.ts";
import type { ContractPlace } from "../ledger/contract.ts";
import { readHost, recordEnrolled, recordRevoked } from "../ledger/host-registry.ts";
import type { LedgerKey } from "../ledger/keys.ts";
import { akNameOf, checkpointLines } from "./checkpoint-lines.ts";
import type { HostRow } from "./store.ts";

export interface CheckpointingOptions {
  readonly contract: ContractPlace;
  /** Where enrolled and revoked keys are recorded; undefined: nowhere. */
  readonly hosts: ContractPlace | undefined;
  readonly key: LedgerKey;
  /** Folder for what each checkpoint stands for: without its lines a root says nothing. */
  readonly folder: string;
  readonly intervalMs: number;
  /** How many checkpoints' lines are kept. */
  readonly keep: number;
}

export interface CheckpointingModules {
  readonly clock: Clock;
  hosts(): HostRow[];
  report(): Promise<HostReport[]>;
  isRevoked(host: string): boolean;
  /** Told once of each trouble, and when it is over. */
  say(text: string): void;
}

const CLOSE_MS = 3000;

/**
 * Puts a root over all hosts' log heads and verdicts on the ledger at each interval. What cannot be sent is not made up
 * for: the next checkpoint says what is then, and the time between two is there for all to see.
 */
export class Checkpointing {
  readonly #options: CheckpointingOptions;
  readonly #modules: CheckpointingModules;
  readonly #recorded = new Map<string, "enrolled" | "revoked">();
  readonly #timer: NodeJS.Timeout;
  #turn: Promise<void> | undefined;
  #trouble: string | undefined;

  constructor(options: CheckpointingOptions, modules: CheckpointingModules) {
    this.#options = options;
    this.#modules = modules;
    this.#timer = setInterval(() => this.#run(), options.intervalMs);
    this.#run();
  }

  /** Waits for what is under way, a short time: a transaction that was sent needs nobody here any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const patience = new AbortController();
    const { signal } = patience;
    await Promise.race([this.#turn, sleep(CLOSE_MS, undefined, { signal }).catch(() => undefined)]);
    patience.abort();
  }

  #run(): void {
    this.#turn ??= this.#once()
      .then(
        () => this.#tell(undefined),
        (error: unknown) => this.#tell(describeError(error)),
      )
      .finally(() => {
        this.#turn = undefined;
      });
  }

  #tell(trouble: string | undefined): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#modules.say(trouble === undefined ? "checkpoints reach the ledger again" : `no checkpoint: ${trouble}`);
  }

  async #once(): Promise<void> {
    await this.#recordHosts();
    const { contract, key, folder, keep } = this.#options;
    const number = await nextCheckpoint(contract, key.address);
    const previous = number === 0n ? null : await readCheckpoint(contract, key.address, number - 1n);
    const time = rfc3339(this.#modules.clock.now());
    const lines = checkpointLines({ number, time, previous }, this.#modules.hosts(), await this.#modules.report());
    const root = checkpointRoot(lines);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Written first, and under its root's name, too: whether a transaction that nobody confirmed is mined is the chain's to say.
    const name = `${`${number}`.padStart(10, "0")}-${root.slice(2, 18)}.jsonl`;
    await replacePrivateFile(join(folder, name), lines.map((line) => `${line}\n`).join(""));
    await sendCheckpoint({ ...contract, key, number, root });
    await prune(folder, keep);
  }

  async #recordHosts(): Promise<void> {
    const { hosts: place, key } = this.#options;
    if (place === undefined) return;
    const [enrolled, revoked]: string[][] = [[], []];
    for (const row of this.#modules.hosts()) {
      const name = akNameOf(row);
      const wanted = this.#modules.isRevoked(row.name) ? "revoked" : "enrolled";
      const known = this.#recorded.get(name) ?? (await recordedAs(place, key, name));
      if (known !== undefined) this.#recorded.set(name, known);
      if (known === "revoked" || known === wanted) continue;
      (wanted === "revoked" ? revoked : enrolled)!.push(name);
    }
    if (enrolled!.length > 0) await recordEnrolled({ ...place, key, names: enrolled! });
    for (const name of enrolled!) this.#recorded.set(name, "enrolled");
    if (revoked!.length > 0) await recordRevoked({ ...place, key, names: revoked! });
    for (const name of revoked!) this.#recorded.set(name, "revoked");
  }
}

async function recordedAs(
  place: ContractPlace,
  key: LedgerKey,
  name: string,
): Promise<"enrolled" | "revoked" | undefined> {
  const { enrolledAt, revokedAt } = await readHost(place, key.address, name);
  if (revokedAt !== null) return "revoked";
  return enrolledAt === null ? undefined : "enrolled";
}

async function prune(folder: string, keep: number): Promise<void> {
  const names = await readdir(folder);
  const files = names.filter((name) => name.endsWith(".jsonl")).sort();
  // What a killed verifier was writing has a longer name.
  const drafts = names.filter((name) => /\.jsonl\.[0-9a-f-]{36}$/.test(name));
  for (const name of [...drafts, ...files.slice(0, Math.max(0, files.length - keep))])
    await unlink(join(folder, name)).catch((error: unknown) => {
      if (errorCode(error) !== "ENOENT") throw error;
    });
}
