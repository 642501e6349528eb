// What a check of evidence, and an attempt to get past it, look like in the tests of this folder.
import { PimsError } from "../../src/core/errors.ts";

export type Outcome =
  | { readonly accepted: true }
  | { readonly accepted: false; readonly reason: string; readonly text: string };

/** One check. `attempt(true)` gives it one thing that is wrong; `attempt(false)` the same with that one thing put right. */
export interface Check {
  readonly name: string;
  /** The reason or error code with which the check refuses, and its sentence. */
  readonly reason: string;
  readonly text: RegExp;
  attempt(wrong: boolean): Outcome | Promise<Outcome>;
}

/** A refusal is what is thrown, too: where a request is refused and not evidence. */
export async function outcomeOf(work: () => unknown): Promise<Outcome> {
  try {
    await work();
    return { accepted: true };
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    return { accepted: false, reason: error.code, text: error.message };
  }
}
