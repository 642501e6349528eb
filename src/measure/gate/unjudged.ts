import { readSync } from "node:fs";
import { errorCode } from "../../core/errors.ts";
import { answerExec, closeEvent, OPEN_EXEC_PERM, parseFanotifyEvents } from "../../kernel/fanotify.ts";
import { NUMBERS, type WaitingPids } from "../../kernel/waiting-pids.ts";

/** Whether a program that nobody judges is executed; by the pid of who waits, 0 where that is not known. */
export type AllowUnjudged = (pid: number) => boolean;

/** Programs that were answered for without being judged. */
export class Unjudged {
  #allowed = 0;
  #refused = 0;

  /**
   * Those that a dead gate had read and not answered. Events are held under numbers below NUMBERS: two descriptors each,
   * and what Node itself has open. Before another gate reads: it would hold events under the same numbers.
   */
  static ofDeadGate(group: number, waiting: WaitingPids, isAllowed: AllowUnjudged): Unjudged {
    const answered = new Unjudged();
    const pids = waiting.read();
    for (let number = 0; number < NUMBERS; number++) answered.#answer(group, number, isAllowed(pids[number]!));
    waiting.clear();
    return answered;
  }

  /** Those that no gate has read. */
  static ofNoGate(group: number, isAllowed: AllowUnjudged): Unjudged {
    const answered = new Unjudged();
    const buffer = Buffer.alloc(64 * 1024);
    try {
      for (;;) {
        const events = parseFanotifyEvents(buffer.subarray(0, readSync(group, buffer)));
        for (const event of events) {
          if ((event.mask & OPEN_EXEC_PERM) !== 0n) answered.#answer(group, event.fd, isAllowed(event.pid));
          closeEvent(event);
        }
      }
    } catch (error) {
      if (errorCode(error) !== "EAGAIN") throw error;
    }
    return answered;
  }

  get count(): number {
    return this.#allowed + this.#refused;
  }

  /** In words: `1 program that waited was refused unjudged`. */
  toString(): string {
    const [allowed, refused] = [this.#allowed, this.#refused];
    const what = this.count === 1 ? "1 program that waited was" : `${this.count} programs that waited were`;
    if (this.count === 0) return "no program was answered for unjudged";
    if (allowed > 0 && refused > 0) return `${what} answered for unjudged: ${allowed} allowed, ${refused} refused`;
    return `${what} ${allowed > 0 ? "allowed" : "refused"} unjudged`;
  }

  #answer(group: number, number: number, allow: boolean): void {
    if (!answerExec(group, number, allow)) return;
    if (allow) this.#allowed++;
    else this.#refused++;
  }
}
