import { findingKey } from "../attest/host-state.ts";
import { judgeCode, type ReferenceValues } from "../attest/judge.ts";
import { judgeListener } from "../attest/judge-listener.ts";
import { isToldAsPreload, judgeProcessStarts } from "../attest/judge-process-start.ts";
import { judgeStart } from "../attest/judge-start.ts";
import { referenceValues } from "../attest/reference-values.ts";
import { BaselineFolder } from "../baseline/baseline-folder.ts";
import { isJitRuntime } from "../baseline/jit.ts";
import { pathKey } from "../baseline/lookup.ts";
import { type ContainerRef, containerKey, type Runtime } from "../container/types.ts";
import { type JsonText, printable, toHex } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { ContainerStart } from "../log/start.ts";
import type { Fact } from "../measure/facts.ts";
import type { Coverage } from "../measure/gathering.ts";
import { Sweeper, type SweepOptions, type SweepResult } from "../measure/sweep.ts";
import { askRuntime, isSilence, type RuntimeAnswer } from "./container-names.ts";
import { containerStart } from "./container-start.ts";
import { codeFields, findingOf, isWrongInItself, listenerFields, startFields } from "./events.ts";
import { type ImageBaseline, ImageBaselines } from "./image-baselines.ts";

/** A container as a scan saw it. */
export interface ScannedContainer {
  readonly container: ContainerName;
  readonly imageName: string | null;
  readonly processes: number;
  readonly findings: number;
  /** The baseline that its files were compared with. Null: only what needs none was looked for, `notJudged` says why. */
  readonly baseline: {
    readonly from: "image" | "lower-folder";
    readonly identity: string;
    readonly root: string;
    readonly entries: number;
    /** Whether it was kept from an earlier scan. */
    readonly cached: boolean;
  } | null;
  readonly notJudged: string | null;
}

/** A file that is not what the image has at its path. */
export interface ChangedFile {
  /** `runtime:id` */
  readonly container: string;
  readonly path: JsonText;
  readonly expected: { readonly size: string; readonly digest: string };
  /** The size is null for a script: it is read by its path and not kept. */
  readonly found: { readonly size: string | null; readonly digest: string };
}

/** What one sweep of this machine found. */
export interface ScanReport {
  readonly schema: "pims.scan/v1";
  readonly findings: readonly Finding[];
  /** Same form; worth knowing, expected in these programs. */
  readonly notes: readonly Finding[];
  readonly containers: readonly ScannedContainer[];
  /** For findings `file-modified`: what the image has there. */
  readonly changedFiles: readonly ChangedFile[];
  readonly coverage: Coverage & {
    readonly scope: "containers" | "all";
    readonly containers: number;
    /** Whether images were to be the baselines. */
    readonly images: boolean;
    /** Containers that were compared with an image. */
    readonly judged: number;
    /** One sentence for each thing that could not be read. */
    readonly missed: readonly string[];
  };
}

export interface ScanOptions extends SweepOptions {
  /** Folder in which baselines of images are kept. Null: images are not used at all. */
  readonly cache: string | null;
  /** A sentence for the operator. */
  readonly report: (text: string) => void;
  /** What is being waited for. */
  readonly step: (text: string) => void;
}

/**
 * One sweep of this machine, judged by the containers' images where they are to be had, derived on the spot. Without one
 * still: what is wrong in itself, such as written-to code pages, code from memory files, executable memory without a file.
 */
export async function scan(options: ScanOptions): Promise<ScanReport> {
  options.step("looking at the processes");
  const sweeper = new Sweeper(options);
  const { first, entered } = await sweepTwice(sweeper).finally(() => sweeper.close());
  const { coverage, containers } = first;
  const facts = [...first.facts, ...entered];
  const subjects = await meet(containers, first.facts, options);
  await findBaselines(subjects.values(), options);
  const findings = new Map<string, Finding>();
  const notes = new Map<string, Finding>();
  const missed = new Set<string>();
  for (const { name, start, reference } of subjects.values())
    if (start !== undefined) for (const finding of judgeStart(name, start, reference, [])) add(findings, finding);
  const started = judgeStarted(facts, subjects);
  for (const finding of [...started.values()].flat()) add(findings, finding);
  for (const fact of facts) {
    const { container, pid } = fact.process;
    const key = container === null ? "" : containerKey(container);
    const { name = null, reference = null, baseline = null } = subjects.get(key) ?? {};
    if (fact.kind === "unreadable") missed.add(`process ${pid}: ${printable(fact.text)}`);
    else if (isWrongInItself(fact)) add(findings, findingOf(fact, name));
    else if (fact.kind === "listener") {
      // A root file system does not say what its image exposes.
      const ports = baseline?.found === true && baseline.from === "image" ? reference : null;
      const finding = name === null ? null : judgeListener({ ...listenerFields(fact), container: name }, ports, []);
      if (finding !== null) add(findings, finding);
    } else if (fact.kind === "code") {
      const code = { ...codeFields(fact), container: name };
      const finding = judgeCode(code, reference);
      if (finding === null || isToldAsPreload(finding, started.get(key) ?? [])) continue;
      // Without a baseline the name has to tell what the image's allowance would.
      const compiled = code.backing === "anonymous" || (code.backing === "memfd" && code.role === "library");
      const expected = reference === null && compiled && isJitRuntime(finding.exe);
      add(expected ? notes : findings, finding);
    }
  }
  const found = [...findings.values()];
  const scanned = [...subjects.values()].map((subject) => describeSubject(subject, found));
  return {
    schema: "pims.scan/v1",
    findings: found,
    notes: [...notes.values()],
    containers: scanned,
    changedFiles: changedFiles(found, facts, subjects),
    coverage: {
      ...coverage,
      scope: options.scope,
      containers: scanned.length,
      images: options.cache !== null,
      judged: scanned.filter(({ baseline }) => baseline !== null).length,
      missed: [...missed],
    },
  };
}

/** What is wrong with how each container's processes were started. */
function judgeStarted(facts: readonly Fact[], subjects: ReadonlyMap<string, Subject>): Map<string, Finding[]> {
  const starts = Map.groupBy(
    facts.filter((fact) => fact.kind === "start"),
    ({ process: { container } }) => (container === null ? "" : containerKey(container)),
  );
  return new Map(
    [...subjects].map(([key, { name, reference, start = null }]) => {
      const told = (starts.get(key) ?? []).map((fact) => ({ ...startFields(fact), container: name }));
      return [key, judgeProcessStarts(told, reference, start)];
    }),
  );
}

/** Whether a process has entered a container past its runtime is certain when it is so for the second time. */
async function sweepTwice(sweeper: Sweeper): Promise<{ first: SweepResult; entered: Fact[] }> {
  const first = await sweeper.sweep();
  const { facts } = await sweeper.sweep();
  return { first, entered: facts.filter(({ kind }) => kind === "mismatch") };
}

/** 0 when nothing was found and everything could be judged that was to be; the worst wins, 2 before 3. */
export function exitStatusOfScan({ findings, coverage }: ScanReport): 0 | 2 | 3 {
  if (findings.length > 0) return 2;
  const complete = !coverage.images || coverage.judged === coverage.containers;
  return complete && coverage.missed.length === 0 ? 0 : 3;
}

/** A container that was found, with all that it is judged by. */
interface Subject {
  readonly name: ContainerName;
  readonly answer: RuntimeAnswer;
  readonly start: ContainerStart | undefined;
  readonly pids: ReadonlySet<number>;
  /** Null where images are not used. */
  baseline: ImageBaseline | null;
  reference: ReferenceValues | null;
}

/** Asks the runtimes, and looks at how the containers were started while their processes live. An engine that does not answer is asked once. */
async function meet(
  containers: ReadonlyMap<string, ContainerRef>,
  facts: readonly Fact[],
  { report, step }: ScanOptions,
): Promise<Map<string, Subject>> {
  const subjects = new Map<string, Subject>();
  const silences = new Map<Runtime, PimsError>();
  for (const [key, ref] of containers) {
    step(`asking ${ref.runtime} about its containers`);
    const silence = silences.get(ref.runtime);
    const answer = await askRuntime(ref, silence);
    if (silence === undefined && isSilence(answer.problem)) {
      silences.set(ref.runtime, answer.problem);
      report(describeError(answer.problem));
    }
    const { runtime, id, name, image } = answer.info;
    const own = facts.filter(({ process: { container } }) => container !== null && containerKey(container) === key);
    const pids = new Set(own.map(({ process }) => process.pid));
    const start = containerStart(answer.info, [...pids]);
    const subject = { name: { runtime, id, name, image }, answer, start, pids, baseline: null, reference: null };
    subjects.set(key, subject);
  }
  return subjects;
}

async function findBaselines(subjects: Iterable<Subject>, { cache, report, step }: ScanOptions): Promise<void> {
  if (cache === null) return;
  const baselines = new ImageBaselines({ folder: await openCache(cache, report), report, step });
  for (const subject of subjects) {
    subject.baseline = await baselines.of(subject.answer);
    if (subject.baseline.found) subject.reference = referenceValues(subject.baseline.baseline);
  }
}

function describeSubject({ name, answer, pids, baseline }: Subject, findings: readonly Finding[]): ScannedContainer {
  const mine = findings.filter(({ container }) => container?.id === name.id && container.runtime === name.runtime);
  return {
    container: name,
    imageName: answer.info.imageName,
    processes: pids.size,
    findings: mine.length,
    baseline: baseline?.found === true ? summary(baseline) : null,
    notJudged: baseline === null ? "images are not used" : baseline.found ? null : baseline.text,
  };
}

async function openCache(path: string, report: (text: string) => void): Promise<BaselineFolder | null> {
  try {
    return await BaselineFolder.open(path);
  } catch (error) {
    if (!(error instanceof PimsError)) throw error;
    report(`${describeError(error)}: baselines of images are not kept`);
    return null;
  }
}

/** A process may have many pieces of the same kind of memory: one finding says it. */
function add(list: Map<string, Finding>, finding: Finding): void {
  const { reason, pid, startTime } = finding;
  const key = reason === "anonymous-code" ? `${reason} ${pid} ${startTime}` : findingKey(finding);
  if (!list.has(key)) list.set(key, finding);
}

function summary({ baseline, from, cached }: Extract<ImageBaseline, { found: true }>): ScannedContainer["baseline"] {
  const { identity, entries } = baseline.header;
  return { from, identity, root: toHex(baseline.root), entries, cached };
}

function changedFiles(
  findings: readonly Finding[],
  facts: readonly Fact[],
  subjects: ReadonlyMap<string, Subject>,
): ChangedFile[] {
  const sizes = new Map(
    facts.flatMap((fact) => (fact.kind === "code" ? [[fact.object.sha256, fact.object.size]] : [])),
  );
  const changed = new Map<string, ChangedFile>();
  for (const { reason, container, object } of findings) {
    const key = container === null ? "" : containerKey(container);
    const baseline = subjects.get(key)?.baseline;
    if (reason !== "file-modified" || object.digest === null || baseline?.found !== true) continue;
    const path = pathKey(object.path);
    const entry = baseline.baseline.entries.find((one) => pathKey(one.path) === path);
    if (entry === undefined) continue;
    changed.set(`${key} ${path} ${object.digest}`, {
      container: key,
      path: object.path,
      expected: { size: entry.size.toString(), digest: entry.sha256 },
      found: { size: sizes.get(object.digest)?.toString() ?? null, digest: object.digest },
    });
  }
  return [...changed.values()];
}
