import { describeError } from "../core/errors.ts";
import { readLog } from "../log/read-log.ts";
import { parseRecord } from "../log/record.ts";
import { requireRoot } from "../process/root.ts";
import { type Attack, type AttackSite, dropProgram, injectLibrary, overwriteCode, runAttack } from "./attacks.ts";
import { type DemoContainer, type DemoRuntime, openDemoRuntime } from "./containers.ts";
import { type DemoImages, prepareImages, type RootImage } from "./images.ts";
import { Platform } from "./platform.ts";
import type { AttackReport, DemoContainerReport, DemoReport, TamperingReport } from "./report.ts";
import { makeRunFolder, removeTree } from "./run-folder.ts";
import { runTampering } from "./tampering.ts";
import { Traffic } from "./traffic.ts";

export interface DemoOptions {
  readonly runtime?: "docker" | "runc";
  readonly tpm: "swtpm" | "device";
  /** Aborted by Ctrl-C: the demo ends what it started and throws. */
  readonly signal: AbortSignal;
  /** A step begins, or has ended with a short result. */
  onProgress(text: string): void;
  /** With this the demo goes on running after its report until the promise is fulfilled. */
  keep?(platform: Platform, report: DemoReport): Promise<void>;
}

interface Served {
  readonly container: DemoContainer;
  readonly image: RootImage;
  readonly traffic: Traffic;
}

const TRUST_MS = 30_000;

/** The whole system once, for real, on this machine, with attacks. Everything that it starts has ended when it returns. */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  requireRoot("pims demo");
  const demo = new Demo(options);
  try {
    return await demo.run();
  } finally {
    await demo.close();
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #startMs = performance.now();
  readonly #served: Served[] = [];
  readonly #identities = new Map<RootImage, string>();
  #folder = "";
  #platform!: Platform;
  #runtime: DemoRuntime | undefined;
  #images!: DemoImages;

  constructor(options: DemoOptions) {
    this.#options = options;
  }

  async run(): Promise<DemoReport> {
    const { runtime, tpm, signal } = this.#options;
    this.#runtime = await openDemoRuntime(runtime === undefined ? {} : { kind: runtime });
    this.#images = await this.#step("images from Debian packages", () =>
      prepareImages({ onProgress: this.#options.onProgress }),
    );
    this.#folder = await makeRunFolder();
    this.#platform = new Platform(this.#folder);
    await this.#step(tpm === "swtpm" ? "TPM 2.0 (swtpm)" : "TPM 2.0 (/dev/tpmrm0)", () => this.#platform.startTpm(tpm));
    await this.#step("chain (anvil) and BaselineRegistry", () => this.#platform.startLedger());
    for (const image of [this.#images.web, this.#images.app])
      await this.#step(`baseline of ${image.name}, proposed by one publisher, approved by another`, () =>
        this.#publish(image),
      );
    await this.#step("verifier", () => this.#platform.startVerifier());
    const control = await this.#serve("web-1", this.#images.web);
    const web = await this.#serve("web-2", this.#images.web);
    const app = await this.#serve("app-1", this.#images.app);
    await this.#step("agent", () => this.#platform.startAgent(this.#runtime!.namePattern));
    await this.#trusted("all three containers trusted", [control, web, app]);

    const attacks: AttackReport[] = [];
    attacks.push(await this.#attack(overwriteCode, web, control));
    attacks.push(await this.#attack(dropProgram, app, control));
    await this.#step("web-2 is replaced by a fresh container, web-3", () => this.#retire(web));
    const fresh = await this.#serve("web-3", this.#images.web);
    await this.#trusted("web-3 trusted", [control, fresh]);
    attacks.push(await this.#attack(injectLibrary, fresh, control));
    signal.throwIfAborted();

    const containers = await this.#containerReports();
    await this.#step("agent stopped; the demo plays root on its host", () => this.#platform.stopAgent());
    const tampering = await this.#step("attacks on the evidence", () =>
      runTampering(this.#platform, control.container),
    );
    const problems = [...(await this.#problems(containers, control)), ...(await this.#mixedUp(control, app))];
    const report = this.#report(containers, attacks, tampering, problems);
    if (this.#options.keep) {
      await this.#step("agent started again on its log", () => this.#platform.startAgent(this.#runtime!.namePattern));
      await this.#trusted("web-1 still trusted", [control]);
      await this.#options.keep(this.#platform, report);
    }
    return report;
  }

  async close(): Promise<void> {
    await Promise.all(this.#served.map(({ traffic }) => traffic.stop()));
    await this.#runtime?.cleanup();
    await this.#platform?.close();
    if (this.#folder !== "") await removeTree(this.#folder);
  }

  async #step<T>(title: string, work: () => Promise<T>): Promise<T> {
    this.#options.signal.throwIfAborted();
    this.#options.onProgress(title);
    return work();
  }

  async #publish(image: RootImage): Promise<void> {
    const baseline = await this.#platform.publishBaseline(this.#runtime!, image);
    this.#identities.set(image, baseline.header.identity);
    this.#options.onProgress(`  ${baseline.entries.length} entries, ${baseline.header.identity.slice(0, 19)}…`);
  }

  async #serve(name: string, image: RootImage): Promise<Served> {
    const container = await this.#step(`container ${name} of ${image.name} (${this.#runtime!.kind})`, async () =>
      this.#runtime!.start({
        name,
        image,
        identity: this.#identities.get(image)!,
        volume: await this.#platform.scratch(`web-${name}`),
      }),
    );
    const served = { container, image, traffic: new Traffic(container.socketPath) };
    this.#served.push(served);
    return served;
  }

  async #retire({ container, traffic }: Served): Promise<void> {
    await traffic.stop();
    await this.#runtime!.remove(container);
  }

  async #trusted(what: string, served: readonly Served[]): Promise<void> {
    const ids = served.map(({ container }) => container.ref.id);
    await this.#step(what, () =>
      this.#platform.view.waitUntil(what, TRUST_MS, this.#options.signal, (report) =>
        ids.every((id) =>
          report.containers.some(({ container, status }) => container.id === id && status === "trusted"),
        ),
      ),
    );
  }

  async #attack(attack: Attack, target: Served, bystander: Served): Promise<AttackReport> {
    const site: AttackSite = {
      platform: this.#platform,
      runtime: this.#runtime!,
      images: this.#images,
      signal: this.#options.signal,
    };
    const report = await this.#step(`attack on ${target.container.name}: ${attack.title}`, () =>
      runAttack(attack, site, target, bystander),
    );
    this.#options.onProgress(
      `  ${report.reason ?? "not detected"} after ${report.detectMs ?? "-"} ms, verdict after ${report.verdictMs ?? "-"} ms, ${report.action}`,
    );
    return report;
  }

  async #containerReports(): Promise<DemoContainerReport[]> {
    const { containers } = await this.#platform.view.report();
    const reports = this.#served.map(async ({ container, image, traffic }): Promise<DemoContainerReport> => {
      const known = containers.find((one) => one.container.id === container.ref.id);
      return {
        name: container.name,
        image: image.name,
        verdict: known?.status ?? "unknown",
        reasons: [...new Set([...(known?.findings ?? []), ...(known?.reasons ?? [])].map(({ reason }) => reason))],
        action: known?.actions.map(({ action, outcome }) => `${action} ${outcome}`).join(", ") || "none",
        answers: await traffic.answersOneMore(),
        requests: traffic.answered,
      };
    });
    return Promise.all(reports);
  }

  async #problems(containers: readonly DemoContainerReport[], control: Served): Promise<string[]> {
    const problems: string[] = [];
    if (!(await control.traffic.answersOneMore())) problems.push("web-1 does not answer at the end");
    if (control.traffic.failed > 0) problems.push(`web-1 failed to answer ${control.traffic.failed} requests`);
    for (const { name, verdict, requests, answers } of containers) {
      const attacked = name !== control.container.name;
      const wanted = attacked ? "untrusted" : "trusted";
      if (verdict !== wanted) problems.push(`${name} is ${verdict} instead of ${wanted}`);
      if (attacked === answers) problems.push(`${name} ${answers ? "still answers" : "does not answer"}`);
      if (requests === 0) problems.push(`${name} never answered a request`);
    }
    return problems;
  }

  /** Both images have a program at the same path: the log must keep the two apart. */
  async #mixedUp(web: Served, app: Served): Promise<string[]> {
    const [path] = web.image.entrypoint;
    const [inWeb, inApp] = await Promise.all(
      [web, app].map(({ container }) => digestsInLog(this.#platform.logPath, container.ref.id, path!)),
    );
    const apart = inWeb!.length === 1 && inApp!.length === 1 && inWeb![0] !== inApp![0];
    return apart ? [] : [`the log does not keep the two files called ${path} apart`];
  }

  #report(
    containers: readonly DemoContainerReport[],
    attacks: readonly AttackReport[],
    tampering: readonly TamperingReport[],
    problems: readonly string[],
  ): DemoReport {
    const ok =
      problems.length === 0 &&
      attacks.every((attack) => attack.detected && attack.problems.length === 0) &&
      tampering.every((one) => one.refused && one.problems.length === 0);
    return {
      schema: "pims.demo/v1",
      runtime: this.#runtime!.kind,
      tpm: this.#options.tpm,
      containers,
      attacks,
      tampering,
      problems,
      durationMs: Math.round(performance.now() - this.#startMs),
      ok,
    };
  }
}

/** One sentence about why a demo did not come to its end. */
export function describeDemoEnd(error: unknown, signal: AbortSignal): string {
  return signal.aborted ? "the demo was interrupted; everything that it started has ended" : describeError(error);
}

/** Digests of the code that the log saw at a path in a container. */
async function digestsInLog(logPath: string, id: string, path: string): Promise<string[]> {
  const digests = new Set<string>();
  for (const [index, line] of (await readLog(logPath)).lines.entries())
    for (const event of parseRecord(line, index).events)
      if (
        event.type === "code" &&
        event.container.id === id &&
        event.object.path === path &&
        event.object.digest !== null
      )
        digests.add(event.object.digest);
  return [...digests];
}
