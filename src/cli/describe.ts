import { type JsonText, printable } from "../core/bytes.ts";
import type { ActionEvent, GateEvent, LogEvent, ProcessStartEvent } from "../log/event.ts";
import type { Finding } from "../log/finding.ts";
import { listenerName } from "../process/listen-address.ts";

/** Enough of a digest to tell it from others by eye. */
export function shortDigest(digest: string | null): string {
  return digest === null ? "-" : digest.replace(/^sha256:/, "").slice(0, 12);
}

/** Ids of 64 digits are cut as the runtimes do; others are names that people gave. */
export function shortId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}

/** A finding as lines for a person: the sentence, then process, file, pages and container. */
export function describeFinding(finding: Finding): string[] {
  const { reason, text, pid, startTime, comm, exe, container, object, pages } = finding;
  const lines = [`${reason}: ${printable(text)}`];
  lines.push(`  process    ${pid} ${printable(comm)} (${path(exe)}), started at tick ${startTime}`);
  if (reason === "unexpected-listener") lines.push(`  listener   ${path(object.path)}`);
  else
    lines.push(
      `  file       ${path(object.path)} sha256 ${object.digest ?? "-"} (device ${object.dev}, inode ${object.ino})`,
    );
  for (const page of pages)
    lines.push(
      `  page       offset 0x${BigInt(page.offset).toString(16)} expected ${page.expected} actual ${page.actual}`,
    );
  if (container !== null)
    lines.push(
      `  container  ${printable(container.name)} (${container.runtime} ${shortId(container.id)}, image ${shortDigest(container.image)})`,
    );
  return lines;
}

/** One line for a log event, with container, process, path and digest where it has them. */
export function describeEvent(event: LogEvent): string {
  const head = `${event.time} ${event.type.padEnd(15)}`;
  switch (event.type) {
    case "boot":
      return `${head} boot ${event.bootId}${event.previous ? `, after ${event.previous.recnum + 1} records of boot ${event.previous.bootId}` : ""}`;
    case "checkpoint":
      return `${head} goes on in another file, from ${event.value.slice(0, 12)}…; ${event.events} events are told again`;
    case "agent-start":
      return `${head} pims ${printable(event.version)}, process ${event.pid}, a sweep each ${event.intervalMs} ms`;
    case "agent-stop":
      return head.trimEnd();
    case "gap":
      return `${head} ${printable(event.text)}`;
    case "container-start":
      return `${head} ${container(event)} image ${printable(event.imageName ?? "-")} ${shortDigest(event.container.image)}${event.unresolved === undefined ? "" : ` (${printable(event.unresolved)})`}`;
    case "container-stop":
      return `${head} ${container(event)}`;
    case "code":
      return `${head} ${container(event)} ${process(event)} ${event.role} ${path(event.object.path)} ${shortDigest(event.object.digest)}${event.deleted ? " (deleted)" : ""}`;
    case "process-start":
      return `${head} ${container(event)} ${process(event)} ${shortDigest(event.object.digest)}, user ${event.user}, parent ${event.parent}${script(event)}${preloads(event)}`;
    case "listener":
      return `${head} ${container(event)} ${event.held ? process(event) : "no process found"} ${listenerName(event)}`;
    case "violation":
      return `${head} ${event.container ? container({ container: event.container }) : "host"} ${process(event)} ${event.reason} ${path(event.object.path)} ${shortDigest(event.object.digest)}${pageList(event)}`;
    case "sweep":
      return `${head} ${event.sweeps} sweeps, longest pause ${event.longestPauseMs} ms, ${event.longestUnprovedMs === null ? "" : `a violation unproved for ${event.longestUnprovedMs} ms, `}${event.processes} processes, ${event.mappings} mappings, ${event.pagesCompared} pages compared, ${event.pagesScrubbed} read again, ${event.unreadable} unreadable, nonce ${shortDigest(event.nonce)}`;
    case "action":
      return `${head} ${container(event)} ${event.action} ${event.outcome} ${onWhoseWord(event)}: ${printable(event.text)}`;
    case "gate":
      return `${head} ${container(event)} ${describeGate(event)}`;
  }
}

function onWhoseWord({ by, reason, order }: ActionEvent): string {
  if (order === undefined) return `by ${by} because of ${reason}`;
  return `by order ${order.id} of ${printable(order.by)} (${printable(order.reason)})`;
}

/** What the gate before exec does in a container, and where it does not reach. */
export function describeGate(gate: Omit<GateEvent, "type" | "time" | "container">): string {
  const { mode, watched, unwatched, decisions, denials, slowestMs } = gate;
  if (mode === "off") return "off";
  const refused = mode === "enforce" ? `${denials} denied` : `${denials} would be denied`;
  const places = unwatched.length === 0 ? "" : `, unwatched: ${unwatched.map(path).join(" ")}`;
  return `${mode}, ${watched} mounts, ${decisions} decisions, ${refused}, slowest ${slowestMs} ms${places}`;
}

function path(text: JsonText): string {
  return printable(text);
}

function container(event: { container: { name: string; runtime: string; id: string } }): string {
  const { name, runtime, id } = event.container;
  return `${printable(name)} (${runtime} ${shortId(id)})`;
}

function process(event: { pid: number; exe: JsonText }): string {
  return `${event.pid} ${path(event.exe)}`;
}

function script({ script, unresolved }: ProcessStartEvent): string {
  if (script === null) return unresolved === null ? "" : `, no script (${unresolved})`;
  const doubt = unresolved === null ? "" : ` (${unresolved})`;
  return `, script ${path(script.path)} ${shortDigest(script.digest)}${doubt}`;
}

function preloads({ preloads }: ProcessStartEvent): string {
  return preloads.map(({ by, object }) => `, ${by} ${path(object.path)} ${shortDigest(object.digest)}`).join("");
}

function pageList(finding: Finding): string {
  if (finding.pages.length === 0) return "";
  const [first] = finding.pages;
  const more = finding.pages.length > 1 ? ` and ${finding.pages.length - 1} more` : "";
  return `, page 0x${BigInt(first!.offset).toString(16)} expected ${shortDigest(first!.expected)} actual ${shortDigest(first!.actual)}${more}`;
}
