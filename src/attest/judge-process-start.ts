import { brief, jsonTextBytes } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import type { ProcessStartEvent } from "../log/event.ts";
import type { ContainerName, Finding, Reason } from "../log/finding.ts";
import type { ContainerStart } from "../log/start.ts";
import type { ReferenceValues } from "./judge.ts";

export type StartFact = Omit<ProcessStartEvent, "type" | "time" | "container"> & {
  readonly container: ContainerName | null;
};

/**
 * Judges how the processes of one container were started: scripts and preloaded libraries that their image does not
 * promise. Each script and each library is found once, in the first process that has it. Without a baseline nothing can be
 * said of them. A variable that the container itself was started with is judged with that (judge-start.ts), and not here.
 */
export function judgeProcessStarts(
  starts: Iterable<StartFact>,
  reference: ReferenceValues | null,
  container: ContainerStart | null,
): Finding[] {
  const findings = new Map<string, Finding>();
  if (reference === null) return [];
  const given = new Set(container?.runtime?.loader.map(({ name, value }) => `${name} ${sha256Hex(value)}`));
  for (const start of starts)
    for (const { reason, object, text } of [...scriptsOf(start, reference), ...preloadsOf(start, reference, given)]) {
      const key = `${reason} ${object.digest ?? JSON.stringify(object.path)}`;
      if (findings.has(key)) continue;
      const { pid, startTime, comm, exe, container } = start;
      findings.set(key, { reason, pid, startTime, comm, exe, container, object, pages: [], text });
    }
  return [...findings.values()];
}

type Part = Pick<Finding, "object" | "text"> & { readonly reason: Reason };

/** An interpreter that is not the image's is found as a program, whatever it is given. */
function* scriptsOf(start: StartFact, reference: ReferenceValues): Generator<Part> {
  const { script, object: program } = start;
  if (script === null || script.digest === null || reference.hasDigest(script.digest)) return;
  if (program.digest === null || !reference.hasDigest(program.digest)) return;
  const [who, path] = [processOf(start), brief(script.path)];
  if (reference.hasPath(script.path))
    yield {
      reason: "file-modified",
      object: script,
      text: `the script ${path}, run by ${who}, is not the image's file`,
    };
  else
    yield {
      reason: "unknown-script",
      object: script,
      text: `${who} runs ${path}, a script that the image does not have`,
    };
}

function* preloadsOf(start: StartFact, reference: ReferenceValues, given: ReadonlySet<string>): Generator<Part> {
  for (const { by, said, object } of start.preloads) {
    if (reference.mayPreload(by, said) || given.has(`${by} ${said}`)) continue;
    const path = brief(object.path);
    const what =
      object.digest === null
        ? "which is looked for by that name"
        : reference.hasDigest(object.digest)
          ? "a file of the image that the image itself does not preload"
          : reference.hasPath(object.path)
            ? "which is not the image's file"
            : "which the image does not have";
    yield { reason: "preload-injection", object, text: `${by} makes ${processOf(start)} load ${path}, ${what}` };
  }
}

function processOf({ pid, exe }: StartFact): string {
  return `process ${pid} (${brief(exe)})`;
}

/**
 * Whether a finding about a library is told already by one of these: that it is preloaded. A library that was named without
 * a slash goes by that name.
 */
export function isToldAsPreload(finding: Finding, preloads: readonly Finding[]): boolean {
  if (!["unknown-library", "file-modified", "deleted-executable"].includes(finding.reason)) return false;
  const { digest, path } = finding.object;
  return preloads.some(
    ({ reason, object }) =>
      reason === "preload-injection" &&
      (object.digest === null ? text(path).endsWith(`/${text(object.path)}`) : object.digest === digest),
  );
}

function text(path: Finding["object"]["path"]): string {
  return Buffer.from(jsonTextBytes(path)).toString("latin1");
}
