const MAX_DIGESTS = 65_536;

/** SHA-256 of a file, and when reading it began, milliseconds since 1970. */
export interface KnownDigest {
  readonly sha256: string;
  readonly readMs: number;
}

/** What files were when they were read, by their signatures. */
export class KnownDigests {
  readonly #digests = new Map<string, KnownDigest>();

  remember(signature: string, known: KnownDigest): void {
    if (this.#digests.size >= MAX_DIGESTS) this.#digests.clear();
    this.#digests.set(signature, known);
  }

  get(signature: string): KnownDigest | null {
    return this.#digests.get(signature) ?? null;
  }
}
