import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { askRuntime } from "../../src/agent/container-names.ts";
import { containerStart } from "../../src/agent/container-start.ts";
import { referenceValues } from "../../src/attest/reference-values.ts";
import type { BaselineLookup } from "../../src/attest/verdict.ts";
import { buildFromFolder } from "../../src/baseline/build.ts";
import { printable } from "../../src/core/bytes.ts";
import { describeError } from "../../src/core/errors.ts";
import { type DemoRuntime, openDemoRuntime } from "../../src/demo/containers.ts";
import { type DemoImages, prepareImages, type RootImage } from "../../src/demo/images.ts";
import { processesOf } from "../../src/demo/patch-memory.ts";
import { openProcConnector } from "../../src/kernel/proc-connector.ts";
import type { Finding } from "../../src/log/finding.ts";
import type { NamedFiles } from "../../src/measure/gate/supervisor.ts";
import type { Method } from "../../src/process/address-space.ts";
import type { Attack } from "./attack.ts";
import { makeLabImage } from "./image.ts";
import { LabGate, namedFiles } from "./lab-gate.ts";
import { Observer } from "./observer.ts";
import { type Description, matchesObject, type Row } from "./readme.ts";
import { openSite } from "./site.ts";

/** What became of one attack under one method. */
export interface Result {
  readonly description: Description;
  /** `enforce`: by both methods, and with the gate. */
  readonly method: Method | "enforce";
  /** What was found, in words. */
  readonly observed: string;
  /** Why it is not as its README says. */
  readonly problems: readonly string[];
}

const METHODS: readonly Method[] = ["auto", "fallback"];
const DETECTION_MS = 5000;
const SWEEPS_FOR_MISSED = 3;

/** Images, a container runtime and an observer for each method; and the attacks that are carried out there. */
export class Lab {
  readonly #corpus: string;
  readonly #closing: (() => Promise<unknown>)[] = [];
  readonly #observers = METHODS.map((method) => new Observer(method));
  #images!: DemoImages;
  #runtime!: DemoRuntime;
  #folder = "";
  #count = 0;
  readonly #known = new Map<
    string,
    { image: RootImage; identity: string; lookup: BaselineLookup; files: NamedFiles }
  >();
  readonly #enforce: boolean;
  #gate: LabGate | null = null;

  private constructor(corpus: string, enforce: boolean) {
    this.#corpus = corpus;
    this.#enforce = enforce;
  }

  /** Whatever it started is stopped when it cannot be opened. */
  static async open(corpus: string, mode: "without the gate" | "enforce" = "without the gate"): Promise<Lab> {
    const lab = new Lab(corpus, mode === "enforce");
    try {
      await lab.#start();
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "pims-attacks-"));
    this.#closing.push(() => rm(this.#folder, { recursive: true, force: true }));
    this.#images = await prepareImages();
    await this.#addImage("lab", await makeLabImage(this.#corpus, this.#folder));
    await this.#addImage("web", this.#images.web);
    this.#runtime = await openDemoRuntime({ kind: "runc" });
    this.#closing.push(() => this.#runtime.cleanup());
    this.#closing.push(() => Promise.all(this.#observers.map((observer) => observer.close())));
    const connector = await openProcConnector({
      onExec: (pids) => this.#observers.forEach((observer) => void observer.onExec(pids)),
      onError: (error) => this.#observers.forEach((observer) => void observer.failures.push(describeError(error))),
    });
    this.#closing.push(() => connector.close());
    if (!this.#enforce) return;
    const gate = await LabGate.open();
    this.#gate = gate;
    this.#closing.push(() => gate.close());
  }

  async #addImage(name: string, image: RootImage): Promise<void> {
    const baseline = await buildFromFolder({ root: image.rootfs, name: image.name, entrypoint: image.entrypoint });
    const lookup: BaselineLookup = { found: true, reference: referenceValues(baseline) };
    this.#known.set(name, { image, identity: baseline.header.identity, lookup, files: namedFiles(baseline) });
  }

  /** Carries out one attack on a container of its own, watched by every method at once. */
  async carryOut(description: Description, attack: Attack): Promise<Result[]> {
    const { image, identity, lookup, files } = this.#known.get(description.container)!;
    const gate = this.#gate;
    const { name } = description;
    // The container of the same attack before may still be on its way out.
    const instance = `${name}-${this.#count++}`;
    const folder = join(this.#folder, instance);
    const volume = join(folder, "volume");
    await mkdir(volume, { recursive: true });
    const ends: (() => Promise<void>)[] = [];
    const afterwards = (end: () => Promise<void>) => void ends.push(end);
    const observers = attack.beforeAgent ? METHODS.map((method) => new Observer(method)) : this.#observers;
    const { binds = {} } = attack;
    gate?.expect(this.#runtime.namePattern.replace("*", instance), files);
    const container = await this.#runtime.start({ name: instance, image, identity, volume, binds });
    try {
      const sweep = async () => void (await Promise.all(observers.map((observer) => observer.sweep())));
      const begin = async () => {
        const info = { ...(await askRuntime(container.ref)).info, name: container.ref.id, image: identity };
        const start = containerStart(info, processesOf(container.ref));
        for (const observer of observers) {
          observer.watch(container.ref, identity, lookup);
          observer.started(container.ref, start);
        }
        if (!attack.beforeAgent) await sweep();
        return observers.map((observer) =>
          attack.binds === undefined ? observer.findings(container.ref).map(words) : [],
        );
      };
      const parts = { container, runtime: this.#runtime, images: this.#images, volume, folder, sweep, afterwards };
      const act = () => attack.act(openSite(name, parts));
      if (gate !== null && description.prevented !== null) {
        if (!attack.beforeAgent) await begin();
        // How it takes note of its own failure is the attack's business.
        await act().catch(() => null);
        if (attack.beforeAgent) await begin();
        for (let count = 0; count < SWEEPS_FOR_MISSED; count++) await sweep();
        return [prevented(description, gate.refused(container.ref), observers[0]!.findings(container.ref))];
      }
      const early = attack.beforeAgent ? await act() : null;
      const before = await begin();
      const pid = attack.beforeAgent ? early : await act();
      // With the gate a further step may be refused: then nothing is left of it to be found.
      const refusedIn = (row: Row) =>
        gate?.refused(container.ref).some((path) => matchesObject(row.object, path)) === true;
      const left = () => ({ ...description, also: description.also.filter((row) => !refusedIn(row)) });
      const met = () => observers.every((observer) => isMet(left(), pid, observer, observer.findings(container.ref)));
      if (detectedRows(description).length > 0) {
        for (const end = performance.now() + DETECTION_MS; performance.now() < end; await sleep(50)) {
          await sweep();
          if (met()) break;
        }
        await sweep();
      } else for (let count = 0; count < SWEEPS_FOR_MISSED; count++) await sweep();
      const results = observers.map((observer, index) => {
        const findings = observer.findings(container.ref);
        const unreadable = observer.unreadable(container.ref);
        return {
          description,
          method: observer.method,
          observed: observed(findings, unreadable),
          problems: [
            ...before[index]!.map((finding) => `before the attack: ${finding}`),
            ...problemsOf(left(), pid, observer, findings, unreadable),
            ...observer.failures.splice(0),
          ],
        };
      });
      if (gate === null) return results;
      // Refusing nothing and finding the same: with the gate nothing is worse than without it.
      const refused = gate
        .refused(container.ref)
        .filter((path) => !description.also.some(({ object }) => matchesObject(object, path)));
      refused.push(...gate.gaps.splice(0));
      const problems = [
        ...new Set(results.flatMap((result) => result.problems)),
        ...refused.map((text) => `not expected: ${text}`),
      ];
      return [{ description, method: "enforce", observed: results[0]!.observed, problems }];
    } finally {
      for (const end of ends) await end();
      for (const observer of observers) observer.forget(container.ref);
      if (observers !== this.#observers) await Promise.all(observers.map((observer) => observer.close()));
      // Takes seconds, which the next attack need not wait for. What fails here is tried again by the runtime's clean-up.
      void this.#runtime.remove(container).catch(() => {});
    }

    function isMet(
      expected: Description,
      pid: number | null,
      observer: Observer,
      findings: readonly Finding[],
    ): boolean {
      return detectedRows(expected).every((row) =>
        row.reason === "coverage-incomplete"
          ? observer.unreadable(container.ref).length > 0
          : findings.some((finding) => isExpected(row, row === expected ? pid : null, finding)),
      );
    }

    function problemsOf(
      expected: Description,
      pid: number | null,
      observer: Observer,
      findings: readonly Finding[],
      unreadable: readonly string[],
    ): string[] {
      const rows = detectedRows(expected);
      const problems: string[] = [];
      if (!isMet(expected, pid, observer, findings))
        problems.push(
          `nothing says ${rows.map(({ reason, object }) => `${reason} of ${object}`).join(" and ")} in process ${pid ?? "any"}`,
          ...findings.map((finding) => `found: ${words(finding)}`),
        );
      for (const finding of findings)
        if (!isPossible(expected, finding) && !rows.some((row) => isExpected(row, null, finding)))
          problems.push(`not expected: ${words(finding)}`);
      if (!rows.some(({ reason }) => reason === "coverage-incomplete"))
        for (const text of unreadable) problems.push(`not expected: coverage-incomplete, ${text}`);
      return problems;
    }
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const close of this.#closing.splice(0).reverse())
      await close().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}

/** An attack that the gate is to stop: that program must be refused, and nothing of what it does otherwise be found. */
function prevented(description: Description, refused: string[], findings: Finding[]): Result {
  const isMeant = refused.some((path) => matchesObject(description.prevented!, path));
  const others = findings.filter((finding) => !detectedRows(description).some((row) => isExpected(row, null, finding)));
  const problems = [
    ...(isMeant ? [] : [`not refused: ${description.prevented}, but ${refused.join(" ") || "nothing"}`]),
    ...(findings.some((finding) => isExpected(description, null, finding)) ? ["it succeeded all the same"] : []),
    ...others.map((finding) => `not expected: ${words(finding)}`),
  ];
  return { description, method: "enforce", observed: isMeant ? "exec-denied" : "nothing", problems };
}

/** What must be found. */
function detectedRows(expected: Description): Row[] {
  return [expected, ...expected.also].filter(({ outcome }) => outcome === "detected");
}

function isExpected({ reason, object }: Row, pid: number | null, finding: Finding): boolean {
  return (
    finding.reason === reason &&
    (pid === null || finding.pid === pid) &&
    matchesObject(object, printable(finding.object.path))
  );
}

function isPossible({ possible, object }: Description, { reason, object: { path } }: Finding): boolean {
  return reason === possible && matchesObject(object, printable(path));
}

function words(finding: Finding): string {
  return `${finding.reason} of ${printable(finding.object.path)} in process ${finding.pid} (${finding.comm})`;
}

function observed(findings: readonly Finding[], unreadable: readonly string[]): string {
  const reasons = findings.map(({ reason }) => reason as string);
  if (unreadable.length > 0) reasons.push("coverage-incomplete");
  return [...new Set(reasons)].join(", ") || "nothing";
}
