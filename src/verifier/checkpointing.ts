import { mkdir, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Address } from "viem";
import type { HostReport } from "../attest/report.ts";
import { type Clock, rfc3339 } from "../core/clock.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import { replacePrivateFile } from "../core/private-file.ts";
import { checkpointRoot, nextCheckpoint, readCheckpoint, sendCheckpoint } from "../ledger/checkpoints.ts";
import type { ContractName } from "../ledger/contract/artifact.ts";
import { type RecordedHost, readHosts, recordEnrolled, recordRevoked } from "../ledger/host-registry.ts";
import type { LedgerKey } from "../ledger/keys/keys.ts";
import type { ProvedContract } from "../ledger/proved-contract.ts";
import type { ProvedLedger } from "../ledger/proved-ledger.ts";
import { settle } from "../ledger/settle.ts";
import { akNameOf, checkpointLines } from "./checkpoint-lines.ts";
import type { HostRow } from "./store.ts";

export interface CheckpointingOptions {
  readonly contract: Address;
  /** Where enrolled and revoked keys are recorded; undefined: nowhere. */
  readonly hosts: Address | undefined;
  readonly key: LedgerKey;
  /** Folder for what each checkpoint stands for: without its lines a root says nothing. */
  readonly folder: string;
  readonly intervalMs: number;
  /** How many checkpoints' lines are kept. */
  readonly keep: number;
}

export interface CheckpointingModules {
  /** The chain of both contracts. */
  readonly ledger: ProvedLedger;
  readonly clock: Clock;
  hosts(): HostRow[];
  report(): Promise<HostReport[]>;
  isRevoked(host: string): boolean;
  /** Told once of each trouble, and when it is over. */
  say(text: string): void;
}

const CLOSE_MS = 3000;
/** Most keys that are recorded before a checkpoint, one or two transactions: it must not wait for ten thousand. */
const KEYS_A_TURN = 200;

/**
 * Puts a root over all hosts' log heads and verdicts on the ledger at each interval. What cannot be sent is not made up
 * for: the next checkpoint says what is then, and the time between two is there for all to see.
 */
export class Checkpointing {
  readonly #options: CheckpointingOptions;
  readonly #modules: CheckpointingModules;
  readonly #recorded = new Map<string, Recorded>();
  readonly #timer: NodeJS.Timeout;
  readonly #closing = new AbortController();
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
    this.#closing.abort();
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
    if (trouble === this.#trouble || this.#closing.signal.aborted) return;
    this.#trouble = trouble;
    this.#modules.say(trouble === undefined ? "checkpoints reach the ledger again" : `no checkpoint: ${trouble}`);
  }

  async #once(): Promise<void> {
    await this.#recordHosts();
    const { key, folder, keep } = this.#options;
    const contract = await this.#modules.ledger.contract("Checkpoints", this.#options.contract, { newer: true });
    const number = await nextCheckpoint(contract, key.address);
    const previous = number === 0n ? null : await readCheckpoint(contract, key.address, number - 1n);
    const time = rfc3339(this.#modules.clock.now());
    const lines = checkpointLines({ number, time, previous }, this.#modules.hosts(), await this.#modules.report());
    const root = checkpointRoot(lines);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Written first, and under its root's name, too: whether a transaction that nobody confirmed is mined is the chain's to say.
    const name = `${`${number}`.padStart(10, "0")}-${root.slice(2, 18)}.jsonl`;
    await replacePrivateFile(join(folder, name), lines.map((line) => `${line}\n`).join(""));
    await sendCheckpoint(contract, { key, number, root });
    await this.#settled(`checkpoint ${number}`, "Checkpoints", contract.address, async (now) => {
      return (await readCheckpoint(now, key.address, number)) === root;
    });
    await prune(folder, keep);
  }

  /** What follows builds on it, so it must be what is proved and not only what one endpoint says. */
  async #settled(
    what: string,
    name: ContractName,
    address: Address,
    isShown: (now: ProvedContract) => Promise<boolean>,
  ): Promise<void> {
    const { signal } = this.#closing;
    const open = () => this.#modules.ledger.contract(name, address, { newer: true });
    if ((await settle(open, async (now) => (await isShown(now)) || null, { signal })) !== null) return;
    throw new PimsError("ledger-unverified", `${what} was sent, and is not proved to be on the ledger`);
  }

  async #recordHosts(): Promise<void> {
    const { hosts: address, key } = this.#options;
    if (address === undefined) return;
    const wanted = new Map<string, Recorded>();
    for (const row of this.#modules.hosts())
      wanted.set(akNameOf(row), this.#modules.isRevoked(row.name) ? "revoked" : "enrolled");
    const open = [...wanted].filter(([name, state]) => !isDone(this.#recorded.get(name), state)).map(([name]) => name);
    if (open.length === 0) return;
    const contract = await this.#modules.ledger.contract("HostRegistry", address, { newer: true });
    const look = async (at: ProvedContract, names: readonly string[]): Promise<void> => {
      const hosts = await readHosts(at, key.address, names);
      for (const [index, name] of names.entries()) {
        const state = stateOf(hosts[index]!);
        if (state !== undefined) this.#recorded.set(name, state);
      }
    };
    await look(contract, open);
    const isMissing = (name: string): boolean => !isDone(this.#recorded.get(name), wanted.get(name)!);
    const missing = (state: Recorded) => open.filter((name) => wanted.get(name) === state && isMissing(name));
    const revoked = missing("revoked").slice(0, KEYS_A_TURN);
    const enrolled = missing("enrolled").slice(0, KEYS_A_TURN - revoked.length);
    const names = [...revoked, ...enrolled];
    if (names.length === 0) return;
    await recordRevoked(contract, { key, names: revoked });
    await recordEnrolled(contract, { key, names: enrolled });
    await this.#settled("which keys are enrolled and revoked", "HostRegistry", address, async (now) => {
      await look(now, names);
      return !names.some(isMissing);
    });
  }
}

type Recorded = "enrolled" | "revoked";

/** Revoked is for good: there is nothing to say after it. */
function isDone(known: Recorded | undefined, wanted: Recorded): boolean {
  return known === wanted || known === "revoked";
}

function stateOf({ enrolledAt, revokedAt }: RecordedHost): Recorded | undefined {
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
