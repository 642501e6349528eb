import type { ContainerRef } from "../../container/types.ts";
import type { JsonText } from "../../core/bytes.ts";

/** `off`: not marked. `observe`: judged and counted, never refused. `enforce`: what is not listed is refused. */
export type GateMode = "off" | "observe" | "enforce";
/** What becomes of a program that waits while nobody can judge it. */
export type Unanswered = "deny" | "allow";

/** What may be executed in a container: the baseline by this name, `none` where nothing is promised, `unverified` where nobody knows. */
export type ReferenceName = { readonly baseline: string } | "none" | "unverified";

export interface Settings {
  readonly mode: GateMode;
  readonly reference: ReferenceName;
}

/** From the supervisor to its gate. Goes through structuredClone. */
export type ToGate =
  | { readonly type: "start"; readonly unanswered: Unanswered }
  /** Files of a baseline: SHA-256, and sizes in bytes, null where files of any size are listed. */
  | {
      readonly type: "baseline";
      readonly name: string;
      readonly digests: Set<string>;
      readonly sizes: Set<bigint> | null;
    }
  | { readonly type: "forget"; readonly baseline: string }
  | { readonly type: "container"; readonly container: ContainerRef; readonly settings: Settings }
  /** A container's first process, which waits: what it has mounted is to be marked before it goes on. */
  | { readonly type: "mark"; readonly pid: number };

/** A program that the image does not have: in `enforce` it was not executed. */
export interface Refusal {
  readonly container: ContainerRef;
  /** Who wanted to execute it: process of the host's number, start in clock ticks since boot, what it is until now. */
  readonly pid: number;
  readonly startTime: bigint;
  readonly comm: string;
  readonly exe: JsonText;
  readonly parent: { readonly pid: number; readonly comm: string };
  /** The program; `sha256` is null where it was not read. */
  readonly path: JsonText;
  readonly device: string;
  readonly inode: bigint;
  readonly size: bigint;
  readonly sha256: string | null;
  /** It could not be read in time. */
  readonly late: boolean;
  /** Only observed: it was executed. */
  readonly allowed: boolean;
  /** Its first bytes name an interpreter (`#!`); false also where it was not read. */
  readonly script: boolean;
}

/** What the gate has done in a container since it runs. */
export interface GateState {
  readonly container: ContainerRef;
  readonly mode: GateMode;
  /** Mounts under the gate, and places of those that are not. */
  readonly watched: number;
  readonly unwatched: readonly JsonText[];
  readonly decisions: number;
  /** Refused; in `observe` those that would have been. */
  readonly denials: number;
  readonly slowestMs: number;
}

export type FromGate =
  | { readonly type: "ready" }
  /** All that there is has been found. */
  | { readonly type: "watching" }
  /** `turns` of the reading thread, and how long the oldest program waits. */
  | { readonly type: "beat"; readonly turns: number; readonly oldestMs: number }
  /** `marked`: it is a process of a container, and its mounts are under the gate. */
  | { readonly type: "marked"; readonly pid: number; readonly marked: boolean }
  /** Settings are wanted for a container. */
  | { readonly type: "ask"; readonly container: ContainerRef }
  /** In `observe`: would have been. */
  | { readonly type: "refused"; readonly refusal: Refusal }
  /** In `enforce`: nobody knows what may be executed in it. Told once for what is settled. */
  | { readonly type: "unjudged"; readonly container: ContainerRef }
  | { readonly type: "states"; readonly states: readonly GateState[] };
