import type { DatabaseSync } from "node:sqlite";
import type { Evidence } from "../attest/evidence.ts";
import type { PlatformEvidence } from "../attest/platform-evidence.ts";
import type { PlatformState } from "../attest/platform-state.ts";
import { wholeImaEntries } from "../tpm/event-log/ima.ts";

/** Tables for the evidence that the proved records rest on, so that others can be shown it. */
export const EVIDENCE_SCHEMA = `
CREATE TABLE IF NOT EXISTS evidence (
  host TEXT PRIMARY KEY REFERENCES hosts(name) ON DELETE CASCADE,
  nonce TEXT NOT NULL,
  attest TEXT NOT NULL,
  signature TEXT NOT NULL,
  first_record INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  pcrs TEXT,
  own TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS firmware_logs (
  host TEXT PRIMARY KEY REFERENCES hosts(name) ON DELETE CASCADE,
  log TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ima_parts (
  host TEXT NOT NULL REFERENCES hosts(name) ON DELETE CASCADE,
  first INTEGER NOT NULL,
  entries BLOB NOT NULL,
  PRIMARY KEY (host, first)
) STRICT;
`;

/** The last evidence of a host that was accepted. */
export interface AcceptedEvidence {
  readonly nonce: string;
  /** TPMS_ATTEST and TPMT_SIGNATURE, base64. */
  readonly attest: string;
  readonly signature: string;
  /** Number of the first record that came with it. */
  readonly from: number;
  /** Wall clock, milliseconds. */
  readonly acceptedAt: number;
  /** Where the quote covers what is below the agent. */
  readonly platform: {
    readonly pcrs: string[];
    readonly own: string;
    /** Base64; null where the host has none. */
    readonly firmwareLog: string | null;
    /** From the first entry to the quoted one; null where the kernel measures no files. */
    readonly ima: Uint8Array | null;
  } | null;
}

/** Keeps the last accepted evidence of each host, in the store's database. Its callers hold the transaction. */
export class EvidenceStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Takes the place of what was kept before. `first` is the number of the first record that it has proved, `platform` what it
   * has proved below the agent.
   */
  keep(host: string, evidence: Evidence, first: number, platform: PlatformState | null, acceptedAt: number): void {
    const { nonce, attest, signature, platform: given } = evidence;
    this.#database
      .prepare(
        "INSERT OR REPLACE INTO evidence (host, nonce, attest, signature, first_record, accepted_at, pcrs, own) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      )
      .run(
        ...([host, nonce, attest, signature, first, acceptedAt] as const),
        given === undefined ? null : given.pcrs.join(" "),
        given?.own ?? null,
      );
    if (platform !== null && given !== undefined) this.#keepPlatform(host, given, platform);
  }

  #keepPlatform(host: string, { firmwareLog, ima }: PlatformEvidence, proved: PlatformState): void {
    if (firmwareLog !== undefined)
      this.#database.prepare("INSERT OR REPLACE INTO firmware_logs (host, log) VALUES (?, ?)").run(host, firmwareLog);
    else if (proved.firmware === null) this.#database.prepare("DELETE FROM firmware_logs WHERE host = ?").run(host);
    const first = ima?.from ?? 0;
    this.#database.prepare("DELETE FROM ima_parts WHERE host = ? AND first >= ?").run(host, first);
    if (ima === null || proved.ima === null || proved.ima.count === first) return;
    const entries = new Uint8Array(Buffer.from(ima.entries, "base64"));
    // What stands behind the quoted entry comes again with the next evidence.
    const quoted = wholeImaEntries(entries, entries.length, proved.ima.count - first).bytes;
    this.#database
      .prepare("INSERT INTO ima_parts (host, first, entries) VALUES (?, ?, ?)")
      .run(host, first, entries.subarray(0, quoted));
  }

  /** Null before any evidence was accepted. */
  last(host: string): AcceptedEvidence | null {
    const row = this.#database.prepare("SELECT * FROM evidence WHERE host = ?").get(host);
    if (row === undefined) return null;
    return {
      nonce: String(row.nonce),
      attest: String(row.attest),
      signature: String(row.signature),
      from: Number(row.first_record),
      acceptedAt: Number(row.accepted_at),
      platform: row.pcrs === null ? null : this.#platform(host, String(row.pcrs).split(" "), String(row.own)),
    };
  }

  #platform(host: string, pcrs: string[], own: string): AcceptedEvidence["platform"] {
    const log = this.#database.prepare("SELECT log FROM firmware_logs WHERE host = ?").get(host)?.log;
    const parts = this.#database.prepare("SELECT entries FROM ima_parts WHERE host = ? ORDER BY first").all(host);
    return {
      pcrs,
      own,
      firmwareLog: log === null || log === undefined ? null : String(log),
      ima: parts.length === 0 ? null : new Uint8Array(Buffer.concat(parts.map(({ entries }) => entries as Uint8Array))),
    };
  }
}
