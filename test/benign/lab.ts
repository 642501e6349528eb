import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { containerStart } from "../../src/agent/container-start.ts";
import { referenceValues } from "../../src/attest/reference-values.ts";
import type { ContainerRef } from "../../src/container/types.ts";
import { printable } from "../../src/core/bytes.ts";
import { describeError } from "../../src/core/errors.ts";
import { processesOf } from "../../src/demo/patch-memory.ts";
import { openProcConnector } from "../../src/kernel/proc-connector.ts";
import type { Finding } from "../../src/log/finding.ts";
import type { Method } from "../../src/process/address-space.ts";
import { LabGate, namedFiles } from "../attacks/lab-gate.ts";
import { Observer } from "../attacks/observer.ts";
import { matchesObject } from "../attacks/readme.ts";
import type { Entry } from "./corpus.ts";
import { deriveBaseline } from "./derive.ts";
import { makeImage } from "./images.ts";
import { openDocker, openRunc, type Place, type Placed } from "./places.ts";
import type { Description, Earned } from "./readme.ts";
import type { Site } from "./site.ts";

/** What came of one case under one method. `enforce`: under both, and with the gate. */
export interface Result {
  readonly description: Description;
  readonly method: Method | "enforce";
  /** Units of work done, in the words of the case. */
  readonly done: number;
  readonly sweeps: number;
  readonly problems: readonly string[];
  /** Why it could not be run here, null when it was. */
  readonly skipped: string | null;
}

const METHODS: readonly Method[] = ["auto", "fallback"];
const SWEEP_MS = 1000;
/** Between two rounds of load: other cases run beside it. */
const REST_MS = 300;

/** Sweeps once a second, looks at every exec, and runs cases meanwhile. */
export class Lab {
  readonly #closing: (() => Promise<unknown>)[] = [];
  readonly #observers = METHODS.map((method) => new Observer(method));
  readonly #stopping = new AbortController();
  #folder = "";
  #sweeps = 0;
  #count = 0;
  #gate: LabGate | null = null;
  #runc: Promise<Place> | undefined;
  #docker: Promise<Place> | undefined;

  private constructor() {}

  /** Whatever it started is stopped when it cannot be opened. */
  static async open(mode: "without the gate" | "enforce" = "without the gate"): Promise<Lab> {
    const lab = new Lab();
    try {
      await lab.#start();
      if (mode === "enforce") await lab.#enforce();
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "pims-benign-"));
    this.#closing.push(() => rm(this.#folder, { recursive: true, force: true }));
    this.#closing.push(() => Promise.all(this.#observers.map((observer) => observer.close())));
    const connector = await openProcConnector({
      onExec: (pids) => this.#observers.forEach((observer) => void observer.onExec(pids)),
      onError: (error) => this.#observers.forEach((observer) => void observer.failures.push(describeError(error))),
    });
    this.#closing.push(() => connector.close());
    const sweeping = this.#sweepLoop();
    this.#closing.push(() => sweeping);
  }

  async #enforce(): Promise<void> {
    const gate = await LabGate.open();
    this.#gate = gate;
    this.#closing.push(() => gate.close());
  }

  async #sweepLoop(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const start = performance.now();
      for (const observer of this.#observers)
        await observer.sweep().catch((error: unknown) => void observer.failures.push(describeError(error)));
      this.#sweeps++;
      await sleep(Math.max(0, SWEEP_MS - (performance.now() - start)), undefined, {
        signal: this.#stopping.signal,
      }).catch(() => {});
    }
  }

  /** Two sweeps that begin from now on. */
  async #twoSweeps(): Promise<void> {
    for (const target = this.#sweeps + 3; this.#sweeps < target && !this.#stopping.signal.aborted; ) await sleep(50);
  }

  /** Puts one case under load for so many seconds, in a container of its own, watched by every method at once. */
  async run({ description, benign }: Entry, seconds: number): Promise<Result[]> {
    const gate = this.#gate;
    const { name } = description;
    const earned = (gate && description.enforced) ?? description.earned;
    const { image, docker, ready, work } = benign;
    const results = (done: number, sweeps: number, problems: (observer: Observer) => readonly string[]): Result[] => {
      const common = { description, done, sweeps, skipped: null };
      if (gate !== null)
        return [{ ...common, method: "enforce", problems: [...new Set(this.#observers.flatMap(problems))] }];
      return this.#observers.map((observer) => {
        return { ...common, method: observer.method, problems: problems(observer) };
      });
    };
    const skipped = (await benign.impossible?.()) ?? null;
    if (skipped !== null) return results(0, 0, () => []).map((result) => ({ ...result, skipped }));
    const ends: (() => Promise<unknown>)[] = [];
    let started: ContainerRef | null = null;
    try {
      const rootfs = await makeImage(image);
      const { entrypoint, ports = [] } = image;
      const baseline = await deriveBaseline({ root: rootfs, name: `pims-benign/${image.name}`, entrypoint, ports });
      const lookup = { found: true, reference: referenceValues(baseline) } as const;
      const { identity } = baseline.header;
      const instance = `${name}-${this.#count++}`;
      const volume = join(this.#folder, instance);
      await mkdir(volume, { mode: 0o755 });
      const options = docker ?? [];
      const place = await this.#place(docker !== undefined);
      const placed: Placed = await place.start({
        ...{ name: instance, image: image.name, rootfs, entrypoint, identity, volume, options },
        onCreate: (ref) => {
          started = ref;
          gate?.expect(ref.id, namedFiles(baseline));
          for (const observer of this.#observers) observer.watch(ref, identity, lookup);
        },
      });
      ends.push(() => placed.remove());
      ends.push(async () => this.#observers.forEach((observer) => void observer.forget(placed.ref)));
      const site: Site = {
        ...{ ref: placed.ref, rootfs, volume, enforced: gate !== null },
        pid: placed.pid,
        exec: (...argv) => placed.exec(argv),
        runtime: (command, ...args) => placed.runtime(command, args),
        afterwards: (end) => void ends.push(end),
      };
      const noteStart = async (): Promise<void> => {
        const info = { ...(await placed.inspect()), name: placed.ref.id, image: identity };
        const start = containerStart(info, processesOf(placed.ref));
        for (const observer of this.#observers) observer.started(placed.ref, start);
      };
      await noteStart();
      await ready(site);
      const sweepsBefore = this.#sweeps;
      let done = 0;
      const end = performance.now() + seconds * 1000;
      for (let round = 0; performance.now() < end && !this.#stopping.signal.aborted; round++) {
        done += await work(site, round);
        await sleep(REST_MS);
      }
      await this.#twoSweeps();
      // It may have been started again.
      await noteStart();
      const idle = done === 0 ? ["it did nothing"] : [];
      return results(done, this.#sweeps - sweepsBefore, (observer) => [
        ...idle,
        ...problemsOf(earned, observer.findings(placed.ref), gate?.refused(placed.ref) ?? []),
        ...(gate?.wasAsked(placed.ref) === false ? ["the gate was asked about nothing"] : []),
        ...(gate?.gaps ?? []),
        ...observer.unreadable(placed.ref).map((text) => `not earned: coverage-incomplete, ${text}`),
        ...observer.failures,
      ]);
    } catch (error) {
      const refused = started === null ? [] : (gate?.refused(started) ?? []);
      const why = refused.length > 0 ? `, and these were refused: ${refused.join(" ")}` : "";
      return results(0, 0, () => [`the software did not work: ${describeError(error)}${why}`]);
    } finally {
      for (const end of ends.reverse()) await end().catch(() => {});
    }
  }

  #place(docker: boolean): Promise<Place> {
    const open = async (opening: Promise<Place>): Promise<Place> => {
      const place = await opening;
      this.#closing.push(() => place.close());
      return place;
    };
    if (docker) {
      this.#docker ??= open(openDocker());
      return this.#docker;
    }
    this.#runc ??= open(openRunc());
    return this.#runc;
  }

  /** Ends the cases that run at their next round. */
  stop(): void {
    this.#stopping.abort();
  }

  async close(): Promise<void> {
    this.stop();
    const failures: unknown[] = [];
    for (const close of this.#closing.splice(0).reverse())
      await close().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}

/** What was found and not earned, or earned and not found. */
function problemsOf(earned: readonly Earned[], findings: readonly Finding[], refused: readonly string[]): string[] {
  const isRefusal = ({ reason }: Earned) => reason === "exec-denied";
  const isFor = (finding: Finding, { reason, object, says }: Earned): boolean =>
    finding.reason === reason && finding.text.includes(says) && matchesObject(object, printable(finding.object.path));
  return [
    ...findings
      .filter((finding) => !earned.some((one) => isFor(finding, one)))
      .map((finding) => `not earned: ${finding.reason} of ${printable(finding.object.path)}: ${finding.text}`),
    ...refused
      .filter((path) => !earned.some((one) => isRefusal(one) && matchesObject(one.object, path)))
      .map((path) => `not earned: exec-denied of ${path}`),
    ...earned
      .filter((one) =>
        isRefusal(one)
          ? !refused.some((path) => matchesObject(one.object, path))
          : !findings.some((finding) => isFor(finding, one)),
      )
      .map(({ reason, object }) => `nothing says ${reason} of ${object}`),
  ];
}
