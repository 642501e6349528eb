import { bytesEqual } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { Register } from "./register.ts";
import type { RegisterError } from "./register-fault.ts";
import { extendValue } from "./replay.ts";

/** How often an extend is begun that, as the register shows, was not carried out. */
const ATTEMPTS = 2;

/**
 * Extends a register that stands at `before`, exactly once. What an extend without an answer came to is decided by
 * reading the register, never by repeating it blindly: it is begun again only where the register still stands at `before`.
 *
 * Throws PimsError `pcr-mismatch` by `explain` where somebody else extended it, and `extend-undecided` where the TPM cannot be read or
 * goes on to refuse: then the record is on disk, and whoever opens the log the next time finds out.
 */
export async function extendOnce(
  register: Register,
  digest: string,
  before: Uint8Array,
  explain: (actual: Uint8Array) => RegisterError | Promise<RegisterError>,
): Promise<Uint8Array> {
  const after = extendValue(before, digest);
  for (let attempt = 1; ; attempt++) {
    try {
      await register.extend(digest);
      return after;
    } catch (error) {
      const now = await readAfter(register, error);
      if (bytesEqual(now, after)) return after;
      if (!bytesEqual(now, before)) throw await explain(now);
      if (attempt === ATTEMPTS) throw undecided("a record is on disk, and the TPM does not take it", error);
    }
  }
}

async function readAfter(register: Register, error: unknown): Promise<Uint8Array> {
  try {
    return await register.read();
  } catch {
    throw undecided("a record is on disk, and nobody can say whether the TPM took it", error);
  }
}

function undecided(what: string, cause: unknown): PimsError {
  return new PimsError("extend-undecided", `${what} (${describeError(cause)})`, {
    hint: "when the TPM answers again, start the agent again: it reads the PCR and makes up for what is missing",
    cause,
  });
}
