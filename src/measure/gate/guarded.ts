import type { ContainerRef } from "../../container/types.ts";
import type { HeldExec } from "./held-exec.ts";
import type { Settings } from "./protocol.ts";

/** What the gate knows of one container. */
export interface Guarded {
  readonly container: ContainerRef;
  /** Null until the supervisor has said what is to hold. */
  settings: Settings | null;
  /** Who waits for the settings. */
  waiting: HeldExec[];
  /** Files of it that are being read, and reads that wait for their turn. */
  reads: number;
  readonly queue: (() => void)[];
  /** Signatures of files whose refusal has been told. */
  readonly told: Set<string>;
  /** That nobody knows what may be executed has been told since the last settings. */
  toldUnjudged: boolean;
  decisions: number;
  denials: number;
  slowestMs: number;
}

export function newGuarded(container: ContainerRef): Guarded {
  const counts = { decisions: 0, denials: 0, slowestMs: 0 };
  return {
    container,
    settings: null,
    waiting: [],
    reads: 0,
    queue: [],
    told: new Set(),
    toldUnjudged: false,
    ...counts,
  };
}

/** The name of the baseline that holds in a container, null where none does. */
export function baselineOf({ settings }: Guarded): string | null {
  const reference = settings?.reference;
  return typeof reference === "object" ? reference.baseline : null;
}
