import type { Settings } from "./protocol.ts";

/** Files by what they are and how long they are, in bytes. */
export interface ListedFiles {
  readonly digests: { has(sha256: string): boolean };
  /** Null where files of any size are listed. */
  readonly sizes: { has(size: bigint): boolean } | null;
}

/**
 * What to do about a program: `keep` says that it need not be asked about again, `late` that it could not be read in
 * time. `read` means that its digest is needed first, `unjudged` that nobody knows what may be executed.
 */
export type Decision =
  | { readonly allow: true; readonly keep: boolean }
  | { readonly allow: false; readonly sha256: string | null; readonly late: boolean }
  | "read"
  | "unjudged";

export interface Question {
  readonly settings: Settings;
  /** What may be executed in the container. */
  readonly listed: readonly ListedFiles[];
  readonly size: bigint;
  /** SHA-256 of the file, null where it is not known. */
  readonly sha256: string | null;
  /** The digest was taken from this very exec's file, or nobody can have changed the file since. */
  readonly current: boolean;
  /** Nobody but the container can change the file, and nobody has since the container is there. */
  readonly unchanged: boolean;
}

/** Pure. By the digest alone: what a file is called or where it lies, the container chooses. */
export function decideExec(question: Question): Decision {
  const { settings, listed, size, sha256, current, unchanged } = question;
  if (settings.mode === "off" || settings.reference === "none") return { allow: true, keep: false };
  if (settings.reference === "unverified") return "unjudged";
  if (!listed.some(({ sizes }) => sizes === null || sizes.has(size)))
    return { allow: false, sha256: null, late: false };
  if (sha256 === null) return "read";
  if (!listed.some(({ digests }) => digests.has(sha256))) return { allow: false, sha256, late: false };
  return current ? { allow: true, keep: unchanged } : "read";
}
