import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Appraisal, NOTHING_PROVED, type Proved } from "../attest/appraise.ts";
import type { TpmIdentity } from "../attest/enrollment.ts";
import type { Evidence } from "../attest/evidence.ts";
import { type PlatformState, platformStateSchema } from "../attest/platform-state.ts";
import { PimsError } from "../core/errors.ts";
import type { BaselineCopy, BaselineStore } from "../ledger/baseline-cache.ts";
import type { HeightStore } from "../ledger/header/ledger-height.ts";
import { ENROLLMENT_SCHEMA, EnrollmentStore } from "./enrollment-store.ts";
import { EVIDENCE_SCHEMA, EvidenceStore } from "./evidence-store.ts";
import { RECORD_SCHEMA, RecordStore } from "./record-store.ts";

/** A host as it was enrolled, and what its last evidence came to. */
export interface HostRow {
  readonly name: string;
  /** TPMT_PUBLIC of the attestation key. */
  readonly akPublic: Uint8Array;
  /** SHA-256 of the token that the host shows with every request. */
  readonly tokenDigest: string;
  readonly proved: Proved;
  /** Wall clock of the last accepted evidence, milliseconds; null before the first. */
  readonly acceptedAt: number | null;
  /** Set while the last evidence was refused. */
  readonly refused: { readonly reason: string; readonly text: string; readonly at: number } | null;
}

/** A verdict that differs from the one before it. */
export interface VerdictRow {
  readonly host: string;
  readonly container: string;
  readonly time: string;
  readonly status: string;
  readonly reasons: readonly string[];
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS hosts (
  name TEXT PRIMARY KEY,
  ak_public BLOB NOT NULL,
  token_digest TEXT NOT NULL,
  boot_id TEXT,
  proved_length INTEGER NOT NULL,
  proved_digest TEXT,
  proved_value TEXT NOT NULL,
  tpm TEXT,
  accepted_at INTEGER,
  refused TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS platforms (
  host TEXT PRIMARY KEY REFERENCES hosts(name) ON DELETE CASCADE,
  state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
  id INTEGER PRIMARY KEY,
  host TEXT NOT NULL REFERENCES hosts(name) ON DELETE CASCADE,
  container TEXT NOT NULL,
  time TEXT NOT NULL,
  status TEXT NOT NULL,
  reasons TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS verdicts_of ON verdicts (host, container, id);
CREATE TABLE IF NOT EXISTS baselines (
  identity TEXT PRIMARY KEY,
  root TEXT NOT NULL,
  lines TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ledger_heights (
  ledger TEXT PRIMARY KEY,
  number TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
`;
/** Counts up with each form that the one before cannot be read as. */
const VERSION = 2;

/** The verifier's memory: hosts, proved records, verdicts, and copies of baselines, in SQLite. */
export class Store {
  readonly #database: DatabaseSync;
  /** Whom hosts were enrolled as. */
  readonly enrollments: EnrollmentStore;
  /** What the proved records rest on. */
  readonly evidence: EvidenceStore;
  /** What their logs hold. */
  readonly log: RecordStore;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.enrollments = new EnrollmentStore(database);
    this.evidence = new EvidenceStore(database);
    this.log = new RecordStore(database);
  }

  /** Opens or creates the file. Throws `store-unusable`. */
  static open(path: string): Store {
    try {
      if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      const database = new DatabaseSync(path);
      // What was acknowledged to an agent must survive a power failure: FULL syncs at every commit.
      database.exec(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;",
      );
      const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
      if (version !== 0 && version !== VERSION)
        throw new Error(`it was written by ${version > VERSION ? "a newer" : "an older"} version (${version})`);
      const schema = [SCHEMA, RECORD_SCHEMA, ENROLLMENT_SCHEMA, EVIDENCE_SCHEMA].join("");
      database.exec(`BEGIN; ${schema} PRAGMA user_version = ${VERSION}; COMMIT;`);
      return new Store(database);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new PimsError("store-unusable", `the verifier's database ${path} cannot be used (${why})`, {
        hint: "give another state folder, or move the file away to start anew",
        cause,
      });
    }
  }

  close(): void {
    this.#database.close();
  }

  hosts(): HostRow[] {
    return this.#database.prepare("SELECT * FROM hosts ORDER BY name").all().map(toHost);
  }

  host(name: string): HostRow | null {
    const row = this.#database.prepare("SELECT * FROM hosts WHERE name = ?").get(name);
    return row === undefined ? null : toHost(row);
  }

  /** Enrolls a host, or enrolls it anew: then nothing is proved and its records and verdicts are gone. */
  enroll(name: string, akPublic: Uint8Array, tokenDigest: string, tpm: TpmIdentity | null = null): void {
    this.#transaction(() => {
      this.#database.prepare("DELETE FROM hosts WHERE name = ?").run(name);
      this.#database
        .prepare(
          "INSERT INTO hosts (name, ak_public, token_digest, proved_length, proved_value) VALUES (?, ?, ?, ?, ?)",
        )
        .run(name, akPublic, tokenDigest, NOTHING_PROVED.length, NOTHING_PROVED.value);
      if (tpm !== null) this.enrollments.setIdentity(name, tpm);
    });
  }

  /** A host that shows the same key again gets a new token and keeps what was proved. */
  renewToken(name: string, tokenDigest: string, tpm: TpmIdentity | null = null): void {
    this.#transaction(() => {
      this.#database.prepare("UPDATE hosts SET token_digest = ? WHERE name = ?").run(tokenDigest, name);
      if (tpm !== null) this.enrollments.setIdentity(name, tpm);
    });
  }

  /** Takes in accepted evidence: all of it or nothing. `evidence` is kept as it came. */
  accept(
    host: string,
    accepted: Omit<Extract<Appraisal, { accepted: true }>, "accepted" | "records">,
    at: number,
    evidence: Evidence | null = null,
  ): void {
    const { proved, lines, platform } = accepted;
    this.#transaction(() => {
      this.log.take(host, accepted, at);
      this.#database
        .prepare(
          "UPDATE hosts SET boot_id = ?, proved_length = ?, proved_digest = ?, proved_value = ?, tpm = ?, accepted_at = ?, refused = NULL WHERE name = ?",
        )
        .run(proved.bootId, proved.length, proved.digest, proved.value, tpmText(proved), at, host);
      if (platform !== null)
        this.#database
          .prepare("INSERT OR REPLACE INTO platforms (host, state) VALUES (?, ?)")
          .run(host, JSON.stringify(platform));
      // After a reboot the records of this boot begin behind those that were told of others.
      const from = proved.length - lines.length;
      if (evidence !== null) this.evidence.keep(host, evidence, from, platform, at);
    });
  }

  /** What was proved of what is below a host's agent; null before that, and when what is stored is no such thing. */
  platform(host: string): PlatformState | null {
    const row = this.#database.prepare("SELECT state FROM platforms WHERE host = ?").get(host);
    if (row === undefined) return null;
    const parsed = platformStateSchema.safeParse(JSON.parse(String(row.state)));
    return parsed.success ? parsed.data : null;
  }

  refuse(host: string, reason: string, text: string, at: number): void {
    this.#database
      .prepare("UPDATE hosts SET refused = ? WHERE name = ?")
      .run(JSON.stringify({ reason, text, at }), host);
  }

  addVerdicts(rows: readonly VerdictRow[]): void {
    this.#transaction(() => {
      const insert = this.#database.prepare(
        "INSERT INTO verdicts (host, container, time, status, reasons) VALUES (?, ?, ?, ?, ?)",
      );
      for (const { host, container, time, status, reasons } of rows)
        insert.run(host, container, time, status, JSON.stringify(reasons));
    });
  }

  /**
   * The last verdict that was stored for a container of a host; null before the first. Takes no longer however many
   * containers the host ever had.
   */
  lastVerdict(host: string, container: string): VerdictRow | null {
    const row = this.#database
      .prepare("SELECT * FROM verdicts WHERE host = ? AND container = ? ORDER BY id DESC LIMIT 1")
      .get(host, container);
    if (row === undefined) return null;
    const reasons = JSON.parse(String(row.reasons)) as string[];
    return { host, container, time: String(row.time), status: String(row.status), reasons };
  }

  /** The copy of a baseline as it is on disk now: whoever reads it checks it. */
  baseline(identity: string): BaselineCopy | null {
    const row = this.#database.prepare("SELECT root, lines FROM baselines WHERE identity = ?").get(identity);
    return row === undefined ? null : { root: String(row.root), lines: String(row.lines).split("\n") };
  }

  saveBaseline(identity: string, copy: BaselineCopy): void {
    this.#database
      .prepare("INSERT OR REPLACE INTO baselines (identity, root, lines) VALUES (?, ?, ?)")
      .run(identity, copy.root, copy.lines.join("\n"));
  }

  forgetBaseline(identity: string): void {
    this.#database.prepare("DELETE FROM baselines WHERE identity = ?").run(identity);
  }

  /** The copies of baselines, as a BaselineCache uses them. */
  baselines(): BaselineStore {
    return {
      read: (identity) => this.baseline(identity),
      write: (identity, copy) => this.saveBaseline(identity, copy),
      forget: (identity) => this.forgetBaseline(identity),
      foreignWrites: () => this.foreignWrites(),
    };
  }

  /** How high the ledgers were that this verifier believed. */
  heights(): HeightStore {
    const read = this.#database.prepare("SELECT number, hash FROM ledger_heights WHERE ledger = ?");
    const write = this.#database.prepare(
      "INSERT OR REPLACE INTO ledger_heights (ledger, number, hash) VALUES (?, ?, ?)",
    );
    return {
      read(ledger) {
        const row = read.get(ledger);
        return row === undefined
          ? null
          : { number: BigInt(String(row.number)), hash: String(row.hash) as `0x${string}` };
      },
      write: (ledger, { number, hash }) => void write.run(ledger, `${number}`, hash),
    };
  }

  /** A number that changes whenever another connection wrote to the file. */
  foreignWrites(): number {
    return Number((this.#database.prepare("PRAGMA data_version").get() as { data_version: number }).data_version);
  }

  #transaction(work: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

function tpmText(proved: Proved): string | null {
  if (proved.tpm === null) return null;
  return JSON.stringify({ ...proved.tpm, clock: proved.tpm.clock.toString() });
}

function toHost(row: Record<string, unknown>): HostRow {
  const tpm =
    row.tpm === null
      ? null
      : (JSON.parse(String(row.tpm)) as { resetCount: number; restartCount: number; clock: string });
  return {
    name: String(row.name),
    akPublic: row.ak_public as Uint8Array,
    tokenDigest: String(row.token_digest),
    proved: {
      bootId: row.boot_id === null ? null : String(row.boot_id),
      length: Number(row.proved_length),
      digest: row.proved_digest === null ? null : String(row.proved_digest),
      value: String(row.proved_value),
      tpm: tpm === null ? null : { ...tpm, clock: BigInt(tpm.clock) },
    },
    acceptedAt: row.accepted_at === null ? null : Number(row.accepted_at),
    refused: row.refused === null ? null : (JSON.parse(String(row.refused)) as NonNullable<HostRow["refused"]>),
  };
}
