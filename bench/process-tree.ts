import { readdirSync, readFileSync } from "node:fs";

/** Of a process and everything that descends from it. */
export interface TreeCost {
  /** User and system time of all threads since each process began, of ended children once they are waited for. */
  readonly cpuSeconds: number;
  /** Memory of their own, and once, since they share it, that of mapped files: Node's program, above all. */
  readonly residentMiB: number;
}

/** Of getconf(1) CLK_TCK, on every architecture that Linux runs Node on. */
const TICKS_A_SECOND = 100;

interface Entry {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** Adds up what a process and its descendants have used. Nothing is left to add up when it has ended. */
export function costOf(root: number): TreeCost {
  const children = Map.groupBy(entries(), ({ parent }) => parent);
  const own = [...children.values()].flat().filter(({ pid }) => pid === root);
  for (const entry of own) own.push(...(children.get(entry.pid) ?? []));
  const resident = own.map(({ pid }) => residentKiB(pid));
  const files = Math.max(0, ...resident.map(({ mapped }) => mapped));
  return {
    cpuSeconds: own.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_A_SECOND,
    residentMiB: (resident.reduce((sum, { anonymous }) => sum + anonymous, 0) + files) / 1024,
  };
}

function entries(): Entry[] {
  return readdirSync("/proc").flatMap((name) => {
    const text = /^\d+$/.test(name) ? read(`/proc/${name}/stat`) : "";
    if (text === "") return [];
    // proc_pid_stat(5); the name in brackets may hold anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return [{ pid: Number(name), parent: Number(fields[1]), ticks }];
  });
}

function residentKiB(pid: number): { anonymous: number; mapped: number } {
  const status = read(`/proc/${pid}/status`);
  const figure = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
  return { anonymous: figure("RssAnon") + figure("RssShmem"), mapped: figure("RssFile") };
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
