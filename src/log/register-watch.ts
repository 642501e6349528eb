import { bytesEqual } from "../core/bytes.ts";
import type { LogRecord } from "./record.ts";
import { describeFault, faultKind, RegisterError, type RegisterFault } from "./register-fault.ts";
import { extendValue } from "./replay.ts";

/** Digests that are kept to explain a register that is not right. */
const MAX_NOTED = 1024;

/** Where in the log, and when. */
type Place = RegisterFault["since"];

export function placeOf({ recnum, events }: Pick<LogRecord, "recnum" | "events">): Place {
  return { recnum, time: events.at(-1)!.time };
}

/** What was last seen of a register and what was extended since then, so that a wrong value can be explained. */
export class RegisterWatch {
  readonly #pcr: number;
  #seen: Uint8Array;
  #seenAt: Place;
  #last: Place;
  #digests: string[] = [];

  constructor(pcr: number, value: Uint8Array, last: Place) {
    this.#pcr = pcr;
    this.#seen = value;
    this.#seenAt = last;
    this.#last = last;
  }

  /** This record was extended into the register. */
  extended(digest: string, place: Place): void {
    this.#last = place;
    this.#digests.push(digest);
    if (this.#digests.length > MAX_NOTED) this.#seen = extendValue(this.#seen, this.#digests.shift()!);
  }

  /** Null when the register holds what the log leads to. */
  check(actual: Uint8Array, expected: Uint8Array): RegisterError | null {
    if (!bytesEqual(actual, expected)) return this.explain(actual);
    this.#seen = actual;
    this.#seenAt = this.#last;
    this.#digests = [];
    return null;
  }

  explain(actual: Uint8Array): RegisterError {
    const fault = { kind: faultKind(actual, this.#seen, this.#digests), since: this.#seenAt };
    return new RegisterError(fault, describeFault(this.#pcr, fault));
  }
}
