import { describeError } from "../core/errors.ts";
import type { Finding, Reason } from "../log/finding.ts";
import { readLog } from "../log/read-log.ts";
import { parseRecord } from "../log/record.ts";
import type { DemoContainer, DemoRuntime } from "./containers.ts";
import type { DemoImages } from "./images.ts";
import { overwriteEntryPoint, workerOf } from "./patch-memory.ts";
import type { Platform } from "./platform.ts";
import type { AttackReport } from "./report.ts";
import type { Traffic } from "./traffic.ts";

export interface AttackSite {
  readonly platform: Platform;
  readonly runtime: DemoRuntime;
  readonly images: DemoImages;
  readonly signal: AbortSignal;
}

/** What an attack must lead to: a finding with this reason, process and file. */
interface Expected {
  readonly reason: Reason;
  readonly pid: number | null;
  readonly path: string;
  readonly pageOffset?: bigint;
}

export interface Attack {
  readonly name: string;
  readonly title: string;
  /** Does it, and says what must be reported. */
  act(site: AttackSite, target: DemoContainer): Promise<Expected>;
}

const DETECTION_MS = 15_000;
const DROPPED = "/tmp/.cache/kworker";
const INJECTED = "/var/tmp/libnss_cache.so.2";

export const overwriteCode: Attack = {
  name: "overwrite-code",
  title: "overwrite a code page of the running server through /proc/PID/mem",
  async act(_site, target) {
    const pid = workerOf(target.ref);
    const { pageOffset } = await overwriteEntryPoint(pid);
    return { reason: "code-modified", pid, path: "/usr/local/bin/server", pageOffset };
  },
};

export const dropProgram: Attack = {
  name: "drop-program",
  title: "write a program that is not in the image into the container, and run it",
  async act({ runtime, images }, target) {
    await runtime.copyIn(target, images.dropper, DROPPED, 0o755);
    const { pid } = await runtime.exec(target, [DROPPED, "-l", "-p", "4444", "-s", "127.0.0.1"]);
    return { reason: "unknown-executable", pid, path: DROPPED };
  },
};

export const injectLibrary: Attack = {
  name: "inject-library",
  title: "inject a library into a new process by LD_PRELOAD, its program untouched",
  async act({ runtime, images }, target) {
    await runtime.copyIn(target, images.injectedLibrary, INJECTED, 0o644);
    const { pid } = await runtime.exec(target, ["/bin/sleep", "3600"], { LD_PRELOAD: INJECTED });
    return { reason: "preload-injection", pid, path: INJECTED };
  },
};

/** Carries an attack out on a serving container, waits for the verdict, and checks everything that it must say. */
export async function runAttack(
  attack: Attack,
  site: AttackSite,
  target: { container: DemoContainer; traffic: Traffic },
  bystander: { container: DemoContainer; traffic: Traffic },
): Promise<AttackReport> {
  const { platform, signal } = site;
  const problems: string[] = [];
  if (!(await target.traffic.answersOneMore())) problems.push("the container did not serve requests before the attack");
  const { name, ref } = target.container;
  const startMs = performance.now();
  const startTime = Date.now();
  const expected = await attack.act(site, target.container);
  let verdictMs: number | null = null;
  try {
    await platform.view.waitUntil(`the verdict on ${name}`, DETECTION_MS, signal, (report) => {
      const container = report.containers.find((one) => one.container.id === ref.id);
      return container?.status === "untrusted" && container.findings.some((finding) => isExpected(finding, expected));
    });
    verdictMs = Math.round(performance.now() - startMs);
    await platform.view.waitUntil(`the action on ${name}`, DETECTION_MS, signal, (report) =>
      report.containers.some(
        ({ container, actions }) => container.id === ref.id && actions.some(({ outcome }) => outcome === "done"),
      ),
    );
  } catch (error) {
    signal.throwIfAborted();
    problems.push(describeError(error));
  }
  const logged = await findInLog(platform.logPath, ref.id, expected);
  if (logged.violation === null) problems.push("the log has no such violation");
  if (logged.action !== "pause done") problems.push(`the log's action is ${logged.action}`);
  if (logged.violation !== null) problems.push(...missingDetails(logged.violation.finding, expected));
  problems.push(...(await checkAftermath(platform, target, bystander)));
  return {
    name: attack.name,
    container: name,
    detected: logged.violation !== null && verdictMs !== null,
    reason: logged.violation?.finding.reason ?? null,
    detectMs: logged.violation === null ? null : logged.violation.time - startTime,
    verdictMs,
    action: logged.action,
    finding: logged.violation?.finding ?? null,
    problems,
  };
}

function isExpected(finding: Finding, { reason, path }: Expected): boolean {
  return finding.reason === reason && finding.object.path === path;
}

/** The finding must name process and file, and for a page its offset and both digests. */
function missingDetails(finding: Finding, expected: Expected): string[] {
  const problems: string[] = [];
  if (expected.pid !== null && finding.pid !== expected.pid)
    problems.push(`the finding names process ${finding.pid} instead of ${expected.pid}`);
  if (finding.object.digest === null) problems.push("the finding has no digest of the file");
  if (expected.pageOffset !== undefined) {
    const page = finding.pages.find(({ offset }) => BigInt(offset) === expected.pageOffset);
    if (page === undefined) problems.push("the finding does not name the page");
    else if (page.expected === page.actual) problems.push("the page's digests do not differ");
    if (finding.pages.length !== 1) problems.push(`${finding.pages.length} pages are named instead of one`);
  }
  return problems;
}

/** The attacked container stands still; the other one is trusted and goes on answering. */
async function checkAftermath(
  platform: Platform,
  target: { container: DemoContainer; traffic: Traffic },
  bystander: { container: DemoContainer; traffic: Traffic },
): Promise<string[]> {
  const problems: string[] = [];
  const answered = target.traffic.answered;
  const others = bystander.traffic.answered;
  await new Promise((resolve) => setTimeout(resolve, 300));
  if (target.traffic.answered > answered + 1) problems.push("the attacked container still answers");
  if (bystander.traffic.answered === others) problems.push(`${bystander.container.name} does not answer any more`);
  const verdict = await platform.view.container(bystander.container.ref.id);
  if (verdict?.status !== "trusted") problems.push(`${bystander.container.name} is ${verdict?.status ?? "not known"}`);
  return problems;
}

async function findInLog(
  path: string,
  id: string,
  expected: Expected,
): Promise<{ violation: { finding: Finding; time: number } | null; action: string }> {
  let violation: { finding: Finding; time: number } | null = null;
  let action = "none";
  for (const [index, line] of (await readLog(path)).lines.entries()) {
    for (const event of parseRecord(line, index).events) {
      if (event.type === "violation" && event.container?.id === id && isExpected(event, expected)) {
        const { type: _type, time, ...finding } = event;
        violation ??= { finding, time: Date.parse(time) };
      }
      if (event.type === "action" && event.container.id === id) action = `${event.action} ${event.outcome}`;
    }
  }
  return { violation, action };
}
