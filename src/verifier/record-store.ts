import type { DatabaseSync } from "node:sqlite";
import type { Appraisal } from "../attest/appraise.ts";
import { endValue } from "../attest/follow-boots.ts";
import { toHex } from "../core/bytes.ts";

/** One boot of a host, as far as its log is known. */
export interface BootRow {
  /** Counts a host's boots from 0, as the verifier came to know them. */
  readonly ordinal: number;
  /** Null where its log names none. */
  readonly bootId: string | null;
  /** Records that are stored, and how many of them quotes of that boot have proved. The others were told afterwards. */
  readonly records: number;
  readonly proved: number;
  /** Value of the PCR after all of them, hexadecimal. */
  readonly value: string;
  /** Wall clock of the first accepted evidence of it, milliseconds. */
  readonly since: number;
  /** Resets of the TPM before it that no log tells of. */
  readonly unloggedResets: number;
  /** Times that the TPM was suspended in it. */
  readonly resumes: number;
}

/** All boots of a host together. */
export interface BootTotals {
  readonly boots: number;
  readonly told: number;
  readonly unloggedResets: number;
  readonly resumes: number;
}

export const RECORD_SCHEMA = `
CREATE TABLE IF NOT EXISTS boots (
  host TEXT NOT NULL REFERENCES hosts(name) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  boot_id TEXT,
  records INTEGER NOT NULL,
  proved INTEGER NOT NULL,
  value TEXT NOT NULL,
  since INTEGER NOT NULL,
  unlogged_resets INTEGER NOT NULL,
  resumes INTEGER NOT NULL,
  PRIMARY KEY (host, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
  host TEXT NOT NULL REFERENCES hosts(name) ON DELETE CASCADE,
  boot INTEGER NOT NULL,
  recnum INTEGER NOT NULL,
  line TEXT NOT NULL,
  PRIMARY KEY (host, boot, recnum)
) STRICT, WITHOUT ROWID;
`;

type Accepted = Pick<
  Extract<Appraisal, { accepted: true }>,
  "proved" | "told" | "lines" | "unloggedResets" | "resumes"
>;

/** The records of hosts, boot by boot. */
export class RecordStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Takes in what accepted evidence proves and tells. For the caller's transaction. */
  take(host: string, accepted: Accepted, at: number): void {
    const { proved, told, lines, unloggedResets, resumes } = accepted;
    let ordinal = this.#lastOrdinal(host);
    for (const [index, part] of told.entries()) {
      const value = toHex(endValue(part));
      const records = part.from + part.lines.length;
      if (index === 0)
        this.#database
          .prepare("UPDATE boots SET records = ?, value = ? WHERE host = ? AND ordinal = ?")
          .run(records, value, host, ordinal);
      else this.#begin(host, ++ordinal, { bootId: part.bootId, records, proved: 0, value, at, unloggedResets: 0 });
      this.#insert(host, ordinal, part.from, part.lines);
    }
    const { bootId, length, value } = proved;
    const state = { bootId, records: length, proved: length, value, at, unloggedResets };
    if (ordinal < 0 || told.length > 0) this.#begin(host, ++ordinal, state);
    else
      this.#database
        .prepare(
          "UPDATE boots SET records = ?, proved = ?, value = ?, resumes = resumes + ? WHERE host = ? AND ordinal = ?",
        )
        .run(length, length, value, resumes, host, ordinal);
    this.#insert(host, ordinal, length - lines.length, lines);
  }

  #begin(
    host: string,
    ordinal: number,
    boot: Pick<BootRow, "bootId" | "records" | "proved" | "value" | "unloggedResets"> & { at: number },
  ): void {
    const { bootId, records, proved, value, at, unloggedResets } = boot;
    this.#database
      .prepare("INSERT INTO boots VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)")
      .run(host, ordinal, bootId, records, proved, value, at, unloggedResets);
  }

  #insert(host: string, boot: number, from: number, lines: readonly string[]): void {
    const insert = this.#database.prepare("INSERT INTO records (host, boot, recnum, line) VALUES (?, ?, ?, ?)");
    for (const [index, line] of lines.entries()) insert.run(host, boot, from + index, line);
  }

  /** -1 before the first boot. */
  #lastOrdinal(host: string): number {
    const row = this.#database.prepare("SELECT max(ordinal) AS last FROM boots WHERE host = ?").get(host);
    return row?.last == null ? -1 : Number(row.last);
  }

  /** A host's last boots in their order, at most `limit`. */
  boots(host: string, limit: number): BootRow[] {
    return this.#database
      .prepare("SELECT * FROM boots WHERE host = ? ORDER BY ordinal DESC LIMIT ?")
      .all(host, limit)
      .map(toBoot)
      .reverse();
  }

  /** The boot of this id, null for none. */
  boot(host: string, bootId: string): BootRow | null {
    const row = this.#database
      .prepare("SELECT * FROM boots WHERE host = ? AND boot_id = ? ORDER BY ordinal DESC LIMIT 1")
      .get(host, bootId);
    return row === undefined ? null : toBoot(row);
  }

  totals(host: string): BootTotals {
    const row = this.#database
      .prepare(
        "SELECT count(*) AS boots, total(records - proved) AS told, total(unlogged_resets) AS resets, total(resumes) AS resumes FROM boots WHERE host = ?",
      )
      .get(host)!;
    return {
      boots: Number(row.boots),
      told: Number(row.told),
      unloggedResets: Number(row.resets),
      resumes: Number(row.resumes),
    };
  }

  /** Records of one boot of a host from `from` on, at most `limit`; of the last boot without an ordinal. */
  read(host: string, from: number, limit: number, ordinal = this.#lastOrdinal(host)): string[] {
    return this.#database
      .prepare("SELECT line FROM records WHERE host = ? AND boot = ? AND recnum >= ? ORDER BY recnum LIMIT ?")
      .all(host, ordinal, from, limit)
      .map((row) => String(row.line));
  }
}

function toBoot(row: Record<string, unknown>): BootRow {
  return {
    ordinal: Number(row.ordinal),
    bootId: row.boot_id === null ? null : String(row.boot_id),
    records: Number(row.records),
    proved: Number(row.proved),
    value: String(row.value),
    since: Number(row.since),
    unloggedResets: Number(row.unlogged_resets),
    resumes: Number(row.resumes),
  };
}
