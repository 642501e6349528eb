import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { containerOfProcess } from "../container/cgroup.ts";
import type { ContainerRef } from "../container/types.ts";
import { PimsError } from "../core/errors.ts";
import { readElf } from "../measure/elf.ts";
import { parseMaps } from "../process/mapping.ts";
import { parseStat } from "../process/stat.ts";

/** Processes of a container, lowest pid first. */
export function processesOf(container: ContainerRef): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => containerOfProcess(pid)?.id === container.id)
    .sort((a, b) => a - b);
}

/** A worker of a container's server: a child of another process of the same container. */
export function workerOf(container: ContainerRef): number {
  const pids = processesOf(container);
  const worker = pids.find((pid) => pids.includes(parseStat(readFileSync(`/proc/${pid}/stat`, "latin1")).parent));
  if (worker === undefined) throw new PimsError("demo-failed", `the container ${container.id} has no worker process`);
  return worker;
}

/**
 * Overwrites code of a running program through `/proc/PID/mem`, as a debugger or a rootkit would, and harmlessly: the
 * bytes at the program's entry point, which ran once when it started. Returns the offset of the page in the file.
 */
export async function overwriteEntryPoint(pid: number): Promise<{ pageOffset: bigint }> {
  const file = readFileSync(`/proc/${pid}/exe`);
  const elf = readElf((at, length) => file.subarray(Number(at), Number(at) + length), BigInt(file.length));
  const segment = elf.loadSegments.find(({ vaddr, fileSize }) => vaddr <= elf.entry && elf.entry < vaddr + fileSize);
  if (segment === undefined) throw new PimsError("demo-failed", "the server's entry point is in no segment");
  const program = readlinkSync(`/proc/${pid}/exe`);
  const offset = elf.entry - segment.vaddr + segment.offset;
  const exe = parseMaps(readFileSync(`/proc/${pid}/maps`)).find(
    (mapping) =>
      mapping.backing === "file" &&
      mapping.offset <= offset &&
      offset < mapping.offset + (mapping.end - mapping.start) &&
      mapping.name === program,
  );
  if (exe === undefined) throw new PimsError("demo-failed", "the server's entry point is not mapped");
  const memory = await open(`/proc/${pid}/mem`, "r+");
  try {
    await memory.write(Buffer.from("PIMS WAS HERE :)"), 0, 16, Number(exe.start + offset - exe.offset));
  } finally {
    await memory.close();
  }
  return { pageOffset: offset & ~0xfffn };
}
