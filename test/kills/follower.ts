import { toHex } from "../../src/core/bytes.ts";
import type { VerifierView } from "../../src/demo/verifier-view.ts";
import { type LogRecord, parseRecord } from "../../src/log/record.ts";
import { extendValue, ZERO_PCR } from "../../src/log/replay.ts";
import { segmentsAt } from "../../src/log/scan-log.ts";
import { linesOf } from "../../src/log/segments.ts";
import { numbersIn } from "../../src/log/testing.ts";

/** Follows a log from one look to the next, and says what is wrong with it, its register or the verifier's copy. */
export class Follower {
  readonly lines: string[] = [];
  #value = ZERO_PCR;
  #compared = 0;
  /** Numbered events in the log. */
  events = 0;
  /** So many numbered events were acknowledged, and so many records proved. */
  appended = 0;
  proved = 0;
  /** The first record that is not pruned. */
  pruned = 0;

  /** Takes in what a process said before it was killed. */
  hear(line: string): void {
    const [, what, count] = /^(appended|proved) (\d+)$/.exec(line) ?? [];
    if (what === "appended") this.appended = Math.max(this.appended, Number(count));
    if (what === "proved") this.proved = Math.max(this.proved, Number(count));
    if (line.startsWith("refused")) throw new Error(`the verifier did not accept: ${line}`);
  }

  /** Compares log, register, what the process that has just opened the log says, and what those before it had said. */
  async check(path: string, register: Uint8Array, held: number, view: VerifierView): Promise<void> {
    await this.#readOn(path, view);
    if (toHex(register) !== toHex(this.#value)) throw new Error("log and register do not agree");
    if (held !== this.events) throw new Error(`the process counts ${held} events, and there are ${this.events}`);
    if (this.appended > this.events)
      throw new Error(`event ${this.appended - 1} was appended, and the log ends at ${this.events - 1}`);
    if (this.proved > this.lines.length)
      throw new Error(`${this.proved} records were proved, and the log has ${this.lines.length}`);
  }

  /** Whole records in order, each numbered event once; those that were there before are the same, or pruned. */
  async #readOn(path: string, view: VerifierView): Promise<void> {
    const { segments } = await segmentsAt(path);
    let recnum = segments[0]!.from;
    this.pruned = recnum;
    // What was written, proved and removed since the last look: the verifier has it.
    while (this.lines.length < recnum) {
      const lines = (await view.records(this.lines.length)).slice(0, recnum - this.lines.length);
      if (lines.length === 0) throw new Error(`record ${this.lines.length} was removed and not proved`);
      for (const line of lines) this.#add(parseRecord(line, this.lines.length), line);
    }
    for await (const text of linesOf(segments)) {
      if (!text.endsWith("\n")) throw new Error("the log ends in the middle of a line");
      const line = text.slice(0, -1);
      const known = this.lines[recnum];
      if (known !== undefined && known !== line) throw new Error(`record ${recnum} is another one than before`);
      if (known === undefined) this.#add(parseRecord(line, recnum), line);
      recnum++;
    }
    if (recnum < this.lines.length) throw new Error(`the log ends at ${recnum} of ${this.lines.length} records`);
  }

  #add(record: LogRecord, line: string): void {
    for (const number of numbersIn([record])) {
      if (number !== this.events) throw new Error(`event ${number} stands where ${this.events} should`);
      this.events++;
    }
    this.#value = extendValue(this.#value, record.digest);
    this.lines.push(line);
  }

  /** Compares the records that the verifier believes with the log's. */
  async compare(view: VerifierView): Promise<void> {
    const { records, evidence, text } = await view.report();
    if (evidence === "refused") throw new Error(`the verifier refuses the host: ${text}`);
    if (records < this.pruned) throw new Error(`records were removed up to ${this.pruned}, and ${records} are proved`);
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
