import type { DatabaseSync } from "node:sqlite";
import { type TpmIdentity, type TpmNotice, tpmIdentitySchema, tpmNoticeSchema } from "../attest/enrollment.ts";

/** Tables for whom hosts were enrolled as, and what was decided about them. */
export const ENROLLMENT_SCHEMA = `
CREATE TABLE IF NOT EXISTS identities (
  host TEXT PRIMARY KEY REFERENCES hosts(name) ON DELETE CASCADE,
  ek_name TEXT NOT NULL,
  identity TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identities_of ON identities (ek_name);
CREATE TABLE IF NOT EXISTS endorsements (
  host TEXT PRIMARY KEY REFERENCES hosts(name) ON DELETE CASCADE,
  ek_public BLOB NOT NULL,
  certificate BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices (
  host TEXT PRIMARY KEY REFERENCES hosts(name) ON DELETE CASCADE,
  notice TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS join_tokens (
  token_digest TEXT PRIMARY KEY,
  host TEXT,
  uncertified INTEGER NOT NULL,
  anew INTEGER NOT NULL,
  uses INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** An operator's decision about one host, or about any that comes: worth so many enrollments. */
export interface Invitation {
  readonly tokenDigest: string;
  /** Null for any host. */
  readonly host: string | null;
  readonly uncertified: boolean;
  readonly anew: boolean;
  /** Enrollments that are left, at least 1. */
  readonly uses: number;
  /** Wall clock, milliseconds. */
  readonly expiresAt: number;
}

/** What a host showed of its TPM when it was enrolled. */
export interface Endorsement {
  /** TPMT_PUBLIC of the endorsement key. */
  readonly ekPublic: Uint8Array;
  /** DER; null when the TPM held none. */
  readonly certificate: Uint8Array | null;
}

/** What the verifier keeps of hosts' TPMs, in the store's database. */
export class EnrollmentStore {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Null for a host whose key was taken on trust. */
  identity(host: string): TpmIdentity | null {
    const row = this.#database.prepare("SELECT identity FROM identities WHERE host = ?").get(host);
    return row === undefined ? null : tpmIdentitySchema.parse(JSON.parse(String(row.identity)));
  }

  setIdentity(host: string, identity: TpmIdentity): void {
    this.#database
      .prepare("INSERT OR REPLACE INTO identities (host, ek_name, identity) VALUES (?, ?, ?)")
      .run(host, identity.ekName, JSON.stringify(identity));
  }

  /** Null for a host whose key was taken on trust. */
  endorsement(host: string): Endorsement | null {
    const row = this.#database.prepare("SELECT * FROM endorsements WHERE host = ?").get(host);
    if (row === undefined) return null;
    return { ekPublic: row.ek_public as Uint8Array, certificate: row.certificate as Uint8Array | null };
  }

  setEndorsement(host: string, { ekPublic, certificate }: Endorsement): void {
    this.#database
      .prepare("INSERT OR REPLACE INTO endorsements (host, ek_public, certificate) VALUES (?, ?, ?)")
      .run(host, ekPublic, certificate);
  }

  /** Hosts that were enrolled with this endorsement key. */
  hostsWith(ekName: string): string[] {
    return this.#database
      .prepare("SELECT host FROM identities WHERE ek_name = ? ORDER BY host")
      .all(ekName)
      .map((row) => String(row.host));
  }

  /** The last thing that was noticed about a host's TPM and not decided since. */
  notice(host: string): TpmNotice | null {
    const row = this.#database.prepare("SELECT notice FROM notices WHERE host = ?").get(host);
    return row === undefined ? null : tpmNoticeSchema.parse(JSON.parse(String(row.notice)));
  }

  /** What ends a host's standing whatever evidence it gives; only an operator's decision gives it back. */
  ousted(host: string): TpmNotice | null {
    const notice = this.notice(host);
    return notice?.reason === "tpm-changed" ? null : notice;
  }

  setNotice(host: string, notice: TpmNotice): void {
    this.#database
      .prepare("INSERT OR REPLACE INTO notices (host, notice) VALUES (?, ?)")
      .run(host, JSON.stringify(notice));
  }

  clearNotice(host: string): void {
    this.#database.prepare("DELETE FROM notices WHERE host = ?").run(host);
  }

  /** Keeps an invitation; an earlier one of the same host and those that have expired are gone. */
  invite({ tokenDigest, host, uncertified, anew, uses, expiresAt }: Invitation, nowMs: number): void {
    this.#database.prepare("DELETE FROM join_tokens WHERE host = ? OR expires_at < ?").run(host, nowMs);
    this.#database
      .prepare(
        "INSERT OR REPLACE INTO join_tokens (token_digest, host, uncertified, anew, uses, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
      )
      .run(tokenDigest, host, Number(uncertified), Number(anew), uses, expiresAt);
  }

  invitation(tokenDigest: string): Invitation | null {
    const row = this.#database.prepare("SELECT * FROM join_tokens WHERE token_digest = ?").get(tokenDigest);
    if (row === undefined) return null;
    return {
      tokenDigest,
      host: row.host === null ? null : String(row.host),
      uncertified: row.uncertified === 1,
      anew: row.anew === 1,
      uses: Number(row.uses),
      expiresAt: Number(row.expires_at),
    };
  }

  /** It is worth one enrollment less afterwards, and nothing after its last. */
  useInvitation(tokenDigest: string): void {
    this.#database.prepare("UPDATE join_tokens SET uses = uses - 1 WHERE token_digest = ?").run(tokenDigest);
    this.#database.prepare("DELETE FROM join_tokens WHERE uses < 1").run();
  }
}
