import { open } from "node:fs/promises";
import { toHex } from "../../src/core/bytes.ts";
import type { VerifierView } from "../../src/demo/verifier-view.ts";
import { parseRecord } from "../../src/log/record.ts";
import { extendValue, ZERO_PCR } from "../../src/log/replay.ts";
import { numbersIn } from "../../src/log/testing.ts";

/** Follows a log from one look to the next, and says what is wrong with it, its register or the verifier's copy. */
export class Follower {
  readonly lines: string[] = [];
  #bytes = 0;
  #value = ZERO_PCR;
  #compared = 0;
  /** Numbered events in the log. */
  events = 0;
  /** So many numbered events were acknowledged, and so many records proved. */
  appended = 0;
  proved = 0;

  /** Takes in what a process said before it was killed. */
  hear(line: string): void {
    const [, what, count] = /^(appended|proved) (\d+)$/.exec(line) ?? [];
    if (what === "appended") this.appended = Math.max(this.appended, Number(count));
    if (what === "proved") this.proved = Math.max(this.proved, Number(count));
    if (line.startsWith("refused")) throw new Error(`the verifier did not accept: ${line}`);
  }

  /** Compares log, register, what the process that has just opened the log says, and what those before it had said. */
  async check(path: string, register: Uint8Array, held: number): Promise<void> {
    await this.#readOn(path);
    if (toHex(register) !== toHex(this.#value)) throw new Error("log and register do not agree");
    if (held !== this.events) throw new Error(`the process counts ${held} events, and there are ${this.events}`);
    if (this.appended > this.events)
      throw new Error(`event ${this.appended - 1} was appended, and the log ends at ${this.events - 1}`);
    if (this.proved > this.lines.length)
      throw new Error(`${this.proved} records were proved, and the log has ${this.lines.length}`);
  }

  /** Whole records in order, each numbered event once. */
  async #readOn(path: string): Promise<void> {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size < this.#bytes) throw new Error(`the log has shrunk from ${this.#bytes} to ${size} bytes`);
      const { buffer } = await file.read(Buffer.alloc(size - this.#bytes), 0, size - this.#bytes, this.#bytes);
      if (size > this.#bytes && buffer.at(-1) !== 0x0a) throw new Error("the log ends in the middle of a line");
      this.#bytes = size;
      for (const line of buffer.toString("utf8").split("\n").slice(0, -1)) {
        const record = parseRecord(line, this.lines.length);
        for (const number of numbersIn([record])) {
          if (number !== this.events) throw new Error(`event ${number} stands where ${this.events} should`);
          this.events++;
        }
        this.#value = extendValue(this.#value, record.digest);
        this.lines.push(line);
      }
    } finally {
      await file.close();
    }
  }

  /** Compares the records that the verifier believes with the log's. */
  async compare(view: VerifierView): Promise<void> {
    const { records, evidence, text } = await view.report();
    if (evidence === "refused") throw new Error(`the verifier refuses the host: ${text}`);
    if (records < this.proved) throw new Error(`the verifier has ${records} of ${this.proved} proved records`);
    if (records > this.lines.length)
      throw new Error(`the verifier has ${records} records, the log ${this.lines.length}`);
    while (this.#compared < records) {
      const lines = await view.records(this.#compared);
      if (lines.length === 0) throw new Error(`the verifier does not have its record ${this.#compared}`);
      for (const line of lines)
        if (line !== this.lines[this.#compared++])
          throw new Error(`the verifier's record ${this.#compared - 1} is not the log's`);
    }
    this.proved = records;
  }
}
