import type { ContainerRef } from "../container/types.ts";
import type { JsonText } from "../core/bytes.ts";
import type { ListenAddress } from "../process/listen-address.ts";
import type { Backing } from "../process/mapping.ts";
import type { Difference } from "./difference.ts";
import type { Place } from "./place.ts";
import type { ProcessStart } from "./process-start.ts";

/** One process for the life of a boot: `pid` of the host's namespace and start time in clock ticks since boot. */
export interface ProcessRef {
  readonly pid: number;
  readonly startTime: bigint;
  /** What the process calls itself, and its program's path in its own mount namespace: labels, never proofs. */
  readonly comm: string;
  readonly exe: JsonText;
  readonly container: ContainerRef | null;
}

/** Executable code that a process has mapped, or is about to be judged for. */
export interface CodeObject {
  readonly backing: Backing;
  /** `executable` is the program itself, `library` everything else that is mapped to be executed. */
  readonly role: "executable" | "library";
  readonly path: JsonText;
  /** `major:minor` and inode number of the file; `0:0` and 0 where there is none. */
  readonly device: string;
  readonly inode: bigint;
  readonly size: bigint;
  /** SHA-256 of the whole file. Null for code that no file holds. */
  readonly sha256: string | null;
  readonly deleted: boolean;
  /** Where its bytes lie; null for code that no ELF file holds. */
  readonly place: Place | null;
  /** Of the mapping in the file; 0 where there is no file. */
  readonly offset: bigint;
}

/** A page that is not as it should be, named by its offset in the file. Digests are SHA-256, hexadecimal. */
export interface DifferingPage {
  readonly offset: bigint;
  readonly expected: string;
  readonly actual: string;
}

/** A page of a mapping that differs from the file's. */
export interface ModifiedPage extends DifferingPage {
  readonly difference: Difference;
}

/** What measuring found out, before anyone judges it. */
export type Fact =
  | {
      readonly kind: "code";
      readonly process: ProcessRef;
      readonly object: CodeObject;
      /** For code in anonymous memory or a memory file: digests of the files whose code the process has mapped, the program's first. */
      readonly mapped?: readonly string[];
    }
  | {
      readonly kind: "modified";
      readonly process: ProcessRef;
      readonly object: CodeObject;
      readonly pages: readonly ModifiedPage[];
    }
  | {
      /** The page cache holds other bytes than when the file was measured, and the file's times say that nothing happened. */
      readonly kind: "page-cache";
      readonly process: ProcessRef;
      readonly object: CodeObject;
      readonly pages: readonly DifferingPage[];
    }
  | {
      /** Somebody can change the code unseen: `writer` has the file mapped writable and shared. */
      readonly kind: "writable";
      readonly process: ProcessRef;
      readonly object: CodeObject;
      readonly writer: ProcessRef;
    }
  | {
      readonly kind: "start";
      readonly process: ProcessRef;
      readonly program: CodeObject;
      readonly start: ProcessStart;
    }
  | {
      /** A process in the namespaces of `process.container` that is not of its cgroup, or of its cgroup and in the host's. */
      readonly kind: "mismatch";
      readonly process: ProcessRef;
      /** Its program. */
      readonly object: CodeObject;
      readonly how: "entered" | "left";
      readonly namespaces: readonly ("mnt" | "pid")[];
    }
  | {
      readonly kind: "listener";
      /** Who holds the socket; where nobody was found, some process of the one container that has the namespace. */
      readonly process: ProcessRef;
      readonly listener: ListenAddress;
      readonly held: boolean;
    }
  | { readonly kind: "unreadable"; readonly process: ProcessRef; readonly text: string };
