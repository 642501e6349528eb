import { setTimeout as sleep } from "node:timers/promises";
import { describeError, PimsError } from "../core/errors.ts";
import type { ProvedContract, ReadAt } from "./proved-contract.ts";
import type { ProvedLedger } from "./proved-ledger.ts";

/** How long a transaction may take until it is below as many blocks as the policy wants. */
const SHOWN_WITHIN_MS = 120_000;
const LONGEST_PAUSE_MS = 1000;

/** What a transaction did, as the proved state shows it. */
export interface Settled<T> {
  readonly shown: T;
  readonly at: ReadAt;
}

export interface Patience {
  readonly shownWithinMs?: number | undefined;
  readonly signal?: AbortSignal;
  /** Is told why it could not be seen, when waiting is over. */
  readonly report?: (text: string) => void;
}

/**
 * Waits until the state of a newer agreed block shows what a transaction did: `read` gives null while it does not. Null
 * when it never did. That a single endpoint has a receipt for it says nothing: the others may not have it, or not any more.
 */
export async function settle<T>(
  open: () => Promise<ProvedContract>,
  read: (contract: ProvedContract) => Promise<T | null>,
  { shownWithinMs = SHOWN_WITHIN_MS, signal, report }: Patience = {},
): Promise<Settled<T> | null> {
  const deadline = performance.now() + shownWithinMs;
  for (let waitMs = 10; ; waitMs = Math.min(2 * waitMs, LONGEST_PAUSE_MS)) {
    let trouble: PimsError | undefined;
    try {
      const contract = await open();
      const shown = await read(contract);
      if (shown !== null) return { shown, at: contract };
    } catch (error) {
      // What was sent is sent: whoever cannot say more now may be able to in a moment.
      if (!(error instanceof PimsError)) throw error;
      trouble = error;
    }
    if (signal?.aborted || performance.now() + waitMs > deadline) {
      if (trouble !== undefined) report?.(describeError(trouble));
      return null;
    }
    await sleep(waitMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  }
}

/** The same for the ledger's registry of baselines. */
export function settleRegistry<T>(
  ledger: ProvedLedger,
  read: (registry: ProvedContract) => Promise<T | null>,
  patience: Patience,
): Promise<Settled<T> | null> {
  return settle(() => ledger.contract("BaselineRegistry", undefined, { newer: true }), read, patience);
}
