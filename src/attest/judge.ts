import { brief, type JsonText } from "../core/bytes.ts";
import type { CodeEvent } from "../log/event.ts";
import type { ContainerName, Finding, Reason } from "../log/finding.ts";

/** What a baseline says about code, as judging needs it. */
export interface ReferenceValues {
  /** Whether a file with this SHA-256 is an executable, library or script of the image, at whatever path. */
  hasDigest(sha256: string): boolean;
  /** Whether the image has an executable, library or script at this path. */
  hasPath(path: JsonText): boolean;
  /** Whether the program at this path may have executable memory that no file holds. */
  mayCompile(path: JsonText): boolean;
}

type CodeFact = Omit<CodeEvent, "type" | "time" | "container"> & { readonly container: ContainerName | null };

/**
 * Judges one piece of code. `reference` is null where there is no baseline: then only what is wrong in itself is found
 * (code from a memfd or a deleted file, executable memory without a file). Code goes by its digest: a listed file
 * under another name is still the code that the image promised.
 *
 * `mayCompile` of a null reference comes from `knownCompiler`: whether the program is a well-known just-in-time runtime.
 */
export function judgeCode(code: CodeFact, reference: ReferenceValues | null, knownCompiler: boolean): Finding | null {
  const verdict = judge(code, reference, knownCompiler);
  if (verdict === null) return null;
  const { pid, startTime, comm, exe, container, object } = code;
  return { reason: verdict[0], pid, startTime, comm, exe, container, object, pages: [], text: verdict[1] };
}

function judge(
  { backing, object, role, deleted, exe, pid }: CodeFact,
  reference: ReferenceValues | null,
  knownCompiler: boolean,
): [Reason, string] | null {
  const path = brief(object.path);
  const who = `process ${pid} (${brief(exe)})`;
  if (backing === "memfd") return ["memfd-executable", `${who} executes code from a memory file, ${path}`];
  if (backing === "anonymous") {
    if (reference?.mayCompile(exe) ?? knownCompiler) return null;
    return ["anonymous-code", `${who} has executable memory that no file holds`];
  }
  if (reference === null) {
    return deleted ? ["deleted-executable", `${who} executes ${path}, which was deleted`] : null;
  }
  if (object.digest !== null && reference.hasDigest(object.digest)) return null;
  if (reference.hasPath(object.path)) return ["file-modified", `${path}, executed by ${who}, is not the image's file`];
  if (deleted)
    return ["deleted-executable", `${who} executes ${path}, which the image does not have and which was deleted`];
  if (role === "executable") return ["unknown-executable", `${who} executes ${path}, which the image does not have`];
  return ["unknown-library", `${who} has loaded ${path}, which the image does not have`];
}
