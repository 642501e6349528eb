import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { Hex } from "viem";
import { z } from "zod";
import { errorCode, PimsError } from "../../core/errors.ts";

const hash = z.string().regex(/^0x[0-9a-f]{64}$/);

/** First line: what the chain was made of. Times are seconds since 1970 UTC. */
const headerSchema = z.strictObject({
  format: z.literal("pims.ledger-journal/v1"),
  client: z.string().max(100),
  chainId: z.int().positive(),
  time: z.int().nonnegative(),
  hash,
});

/** Every other line: a signed transaction, and number, time and hash of the block that holds it alone. */
const entrySchema = z.strictObject({
  number: z.int().positive(),
  time: z.int().positive(),
  hash,
  raw: z
    .string()
    .regex(/^0x([0-9a-f]{2})+$/)
    .transform((text) => text as Hex),
});

export type JournalHeader = z.infer<typeof headerSchema>;
export type JournalEntry = z.infer<typeof entrySchema>;

/** A transaction of 128 KiB in hexadecimal, and what is around it. */
const maxLineBytes = 300_000;

/** The file in which a chain's transactions are kept. What `begin` and `append` have returned for is on disk. */
export class Journal {
  /** The first line, undefined in a new journal. */
  readonly header: JournalHeader | undefined;
  readonly #file: FileHandle;
  readonly #path: string;
  /** Where the next line starts. */
  #end: number;

  private constructor(file: FileHandle, path: string, end: number, header: JournalHeader | undefined) {
    this.#file = file;
    this.#path = path;
    this.#end = end;
    this.header = header;
  }

  /** Opens the journal of a folder, or creates it. Throws `ledger-journal-broken`. */
  static async open(folder: string): Promise<Journal> {
    const path = join(folder, "journal.jsonl");
    const file = await open(path, "r+").catch((error: unknown) => {
      if (errorCode(error) !== "ENOENT") throw error;
      return open(path, "wx+", 0o600);
    });
    try {
      await syncFolder(folder);
      const buffer = Buffer.alloc(4096);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      const end = buffer.subarray(0, bytesRead).indexOf(10);
      if (end >= 0) {
        const header = parse(path, 1, headerSchema, buffer.toString("utf8", 0, end));
        return new Journal(file, path, end + 1, header);
      }
      if (bytesRead === buffer.length) throw broken(path, 1, "it is too long");
      await file.truncate(0);
      return new Journal(file, path, 0, undefined);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Writes the header of a new journal. */
  begin(header: Omit<JournalHeader, "format">): Promise<void> {
    return this.#write({ format: "pims.ledger-journal/v1", ...header });
  }

  /**
   * The transactions, in order; to be read to the end before the first `append`. A last line without an end was being
   * written when the process died, so nobody was told of it: it is cut off.
   */
  async *entries(): AsyncGenerator<JournalEntry> {
    const buffer = Buffer.alloc(1024 * 1024);
    let rest = Buffer.alloc(0);
    let line = 1;
    for (let position = this.#end; ; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        yield parse(this.#path, ++line, entrySchema, rest.toString("utf8", 0, end));
        this.#end += end + 1;
        rest = rest.subarray(end + 1);
      }
      if (rest.length > maxLineBytes) throw broken(this.#path, line + 1, "it is too long");
    }
    if (rest.length === 0) return;
    await this.#file.truncate(this.#end);
    await this.#file.sync();
  }

  append(entry: JournalEntry): Promise<void> {
    return this.#write(entry);
  }

  /** The error for a line (from 1) that does not do again what it did. */
  broken(line: number, what: string): PimsError {
    return broken(this.#path, line, what);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #write(line: JournalHeader | JournalEntry): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`, "utf8");
    const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, this.#end);
    if (bytesWritten !== bytes.length) throw new PimsError("ledger-journal-failed", `${this.#path} cannot be written`);
    await this.#file.sync();
    this.#end += bytes.length;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function parse<T>(path: string, line: number, schema: z.ZodType<T>, text: string): T {
  if (text.length > maxLineBytes) throw broken(path, line, "it is too long");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw broken(path, line, "it is not JSON");
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw broken(path, line, "it has another form");
  return parsed.data;
}

function broken(path: string, line: number, what: string): PimsError {
  return new PimsError("ledger-journal-broken", `line ${line} of ${path} cannot be replayed, ${what}`, {
    hint: "put back a copy of the file, or start a new chain in another folder and publish again",
  });
}
