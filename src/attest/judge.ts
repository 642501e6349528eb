import { isJitRuntime, mapsItselfAgain } from "../baseline/jit.ts";
import { brief, type JsonText } from "../core/bytes.ts";
import type { CodeEvent } from "../log/event.ts";
import type { ContainerName, Finding, Reason } from "../log/finding.ts";
import type { PreloadWay } from "../process/preload.ts";

/** What a baseline says about code, as judging needs it. */
export interface ReferenceValues {
  /** Whether a file with this SHA-256 is an executable, library or script of the image, at whatever path. */
  hasDigest(sha256: string): boolean;
  /** Whether the image has an executable, library or script at this path. */
  hasPath(path: JsonText): boolean;
  /** Whether a process that has mapped the code of these files may have executable memory that no file holds. */
  mayCompile(mapped: readonly string[]): boolean;
  /** Whether the image exposes a port, written as `tcp/80`. */
  exposes(port: string): boolean;
  /** Whether the file maps its own code a second time, elsewhere. */
  mayBeDisplaced(sha256: string): boolean;
  /** Entry point and command of the image. Absent or empty: the image names none. */
  readonly entrypoint?: readonly string[];
  /** Whether the image itself preloads libraries in this way; `said` as in the log's `process-start`. */
  mayPreload(by: PreloadWay, said: string): boolean;
}

type CodeFact = Omit<CodeEvent, "type" | "time" | "container"> & { readonly container: ContainerName | null };

/**
 * Judges one piece of code. `reference` is null where there is no baseline: then only what is wrong in itself is found
 * (code from a memfd or a deleted file, executable memory without a file, a file's data executed). Code goes by its
 * digest: a listed file under another name is still the code that the image promised.
 */
export function judgeCode(code: CodeFact, reference: ReferenceValues | null): Finding | null {
  const reason = reasonAgainst(code, reference);
  if (reason === null) return null;
  const { pid, startTime, comm, exe, container, object } = code;
  return { reason, pid, startTime, comm, exe, container, object, pages: [], text: sentence(reason, code) };
}

function reasonAgainst(
  { backing, object, role, deleted, place, mapped }: CodeFact,
  reference: ReferenceValues | null,
): CodeReason | null {
  // Some compilers keep what they make in a memory file, mapped twice: to be written and to be executed.
  if (backing === "memfd") return role === "library" && reference?.mayCompile(mapped) ? null : "memfd-executable";
  if (backing === "anonymous") return reference?.mayCompile(mapped) ? null : "anonymous-code";
  if (reference === null) {
    if (deleted) return "deleted-executable";
    const outOfPlace =
      place === "outside-segment" ||
      (place === "displaced" && !mapsItselfAgain(object.path) && !isJitRuntime(object.path));
    return outOfPlace ? "code-outside-segment" : null;
  }
  if (object.digest !== null && reference.hasDigest(object.digest)) {
    // In a listed file that is no ELF file, no place is one for code.
    const inPlace = place === "in-segment" || (place === "displaced" && reference.mayBeDisplaced(object.digest));
    return inPlace ? null : "code-outside-segment";
  }
  if (reference.hasPath(object.path)) return "file-modified";
  if (deleted) return "deleted-executable";
  return role === "executable" ? "unknown-executable" : "unknown-library";
}

type CodeReason = Extract<
  Reason,
  | "memfd-executable"
  | "anonymous-code"
  | "code-outside-segment"
  | "deleted-executable"
  | "file-modified"
  | "unknown-executable"
  | "unknown-library"
>;

/** Made for findings only: nearly all code that is judged is in order. */
function sentence(reason: CodeReason, { pid, exe, object, place, offset }: CodeFact): string {
  const path = brief(object.path);
  const who = `process ${pid} (${brief(exe)})`;
  switch (reason) {
    case "memfd-executable":
      return `${who} executes code from a memory file, ${path}`;
    case "anonymous-code":
      return `${who} has executable memory that no file holds`;
    case "code-outside-segment":
      return place === "displaced"
        ? `${who} has code of ${path} (offset ${hex(offset)}) mapped apart from the rest of that file, where other code may be expected`
        : `${who} executes bytes of ${path} (offset ${hex(offset)}) that are data there, not code`;
    case "deleted-executable":
      return `${who} executes ${path}, which was deleted`;
    case "file-modified":
      return `${path}, executed by ${who}, is not the image's file`;
    case "unknown-executable":
      return `${who} executes ${path}, which the image does not have`;
    case "unknown-library":
      return `${who} has loaded ${path}, which the image does not have`;
  }
}

function hex(decimal: string): string {
  return `0x${BigInt(decimal).toString(16)}`;
}
