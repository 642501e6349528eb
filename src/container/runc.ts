import { readdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { type CgroupMount, cgroupMounts, pathInHierarchy } from "./cgroup-mounts.ts";
import { readBounded } from "./read-bounded.ts";
import type { RuntimeStart } from "./start.ts";
import type { ContainerInfo } from "./types.ts";

/** A container by runc's own record of it, the file state.json that runc keeps while the container exists. */
export interface RuncContainer extends ContainerInfo {
  /** The host's number of its first process when runc made it; it may have exited since. */
  readonly pid: number;
  /** The folder of its config.json. */
  readonly bundle: string | null;
  /** The host's path of its root file system. */
  readonly rootfs: string | null;
  /** Its cgroup in each hierarchy, as `/proc/PID/cgroup` of a process of the host's cgroup namespace shows it. */
  readonly cgroups: readonly string[];
}

export interface RuncOptions {
  /** runc's --root. */
  readonly root?: string;
}

const defaultRoot = "/run/runc";
const maxStateBytes = 4 << 20;
const maxContainers = 10_000;
/** runc's own rule for an id (libcontainer's validateID). */
const validId = /^[\w+.-]{1,1024}$/;

const maxBundleBytes = 4 << 20;

/** OCI runtime specification, config.md, as far as it tells how a container was started. */
const bundleConfig = z.object({
  process: z.object({ args: z.array(z.string()).nullish(), env: z.array(z.string()).nullish() }).nullish(),
  linux: z.object({ devices: z.array(z.object({ path: z.string() })).nullish() }).nullish(),
});

const stateFile = z.object({
  id: z.string().regex(validId),
  init_process_pid: z.number().int().positive(),
  config: z.object({ labels: z.array(z.string()).nullish(), rootfs: z.string().nullish() }),
  cgroup_paths: z.record(z.string(), z.string()).nullish(),
});

/** A container of runc. Throws `container-not-found`, and `container-state` for a record that cannot be understood. */
export async function inspectRuncContainer(id: string, options: RuncOptions = {}): Promise<RuncContainer> {
  const root = options.root ?? defaultRoot;
  const found = await readState(root, id, cgroupMounts());
  if (found) {
    const start = await readBundle(found);
    return start === null ? found : { ...found, start };
  }
  const shown = JSON.stringify(id.slice(0, 200));
  throw new PimsError("container-not-found", `runc has no container ${shown} below ${root}`, {
    hint: "'runc list' lists them",
  });
}

/** Ids of runc's containers, 10 000 at most. None where there is no folder: runc was never used since the boot. */
export async function listRuncIds(options: RuncOptions = {}): Promise<string[]> {
  const ids = await readdir(options.root ?? defaultRoot).catch(() => []);
  return ids.filter(isValidId).slice(0, maxContainers);
}

/** Where runc keeps the record of a container. */
export function runcStateFile(id: string, options: RuncOptions = {}): string {
  return join(options.root ?? defaultRoot, id, "state.json");
}

/** All containers of runc; `unreadable` names those whose record could not be read or understood, with the reason. */
export async function listRuncContainers(
  options: RuncOptions = {},
): Promise<{ containers: RuncContainer[]; unreadable: { id: string; error: PimsError }[] }> {
  const root = options.root ?? defaultRoot;
  const mounts = cgroupMounts();
  const containers: RuncContainer[] = [];
  const unreadable: { id: string; error: PimsError }[] = [];
  for (const id of await listRuncIds(options)) {
    try {
      const container = await readState(root, id, mounts);
      if (container) containers.push(container);
    } catch (error) {
      if (!(error instanceof PimsError)) throw error;
      unreadable.push({ id, error });
    }
  }
  return { containers, unreadable };
}

/**
 * What the bundle says now; it may be another text than the one that the container was started with. Null when it is
 * gone or cannot be understood.
 */
async function readBundle({ bundle, pid }: RuncContainer): Promise<RuntimeStart | null> {
  if (bundle === null || !isAbsolute(bundle)) return null;
  try {
    const bytes = await readBounded(join(bundle, "config.json"), maxBundleBytes);
    const config = bytes === null ? undefined : bundleConfig.safeParse(parseJson(bytes));
    if (!config?.success) return null;
    const { process, linux } = config.data;
    const devices = (linux?.devices ?? []).map(({ path }) => path);
    // One list of words: the first is the program, and what of the rest is a command nobody says.
    const words = { args: process?.args ?? [], entryWords: 1, env: process?.env ?? [], imageEnv: null };
    return { pid, privileged: null, ...words, devices };
  } catch (error) {
    if (error instanceof PimsError) return null;
    throw error;
  }
}

/** An id is a folder's name: nothing that leads elsewhere. */
function isValidId(id: string): boolean {
  return validId.test(id) && id !== "." && id !== "..";
}

/** Null when there is no such container, as when it ends meanwhile. */
async function readState(root: string, id: string, mounts: readonly CgroupMount[]): Promise<RuncContainer | null> {
  if (!isValidId(id)) return null;
  const bytes = await readBounded(runcStateFile(id, { root }), maxStateBytes);
  return bytes === null ? null : parseRuncState(bytes, id, mounts);
}

/**
 * The record of a container (libcontainer's State). Untrusted: annotations come from whoever made the bundle. Throws
 * `container-state`.
 */
export function parseRuncState(bytes: Uint8Array, id: string, mounts: readonly CgroupMount[]): RuncContainer {
  const state = stateFile.safeParse(parseJson(bytes));
  if (!state.success || state.data.id !== id) {
    const where = state.success ? "id" : (state.error.issues[0]?.path.join(".") ?? "");
    throw new PimsError("container-state", `runc's record of ${JSON.stringify(id)} has an unknown form (${where})`);
  }
  const labels = labelRecord(state.data.config.labels ?? []);
  const { bundle, "pims.image": image, "pims.image.name": imageName } = labels;
  const cgroups = Object.values(state.data.cgroup_paths ?? {}).map((path) => pathInHierarchy(mounts, path));
  return {
    runtime: "runc",
    id,
    name: id,
    image: image ?? null,
    imageName: imageName ?? null,
    labels,
    pid: state.data.init_process_pid,
    bundle: bundle ?? null,
    rootfs: state.data.config.rootfs ?? null,
    cgroups: [...new Set(cgroups.filter((path) => path !== null))],
  };
}

/** runc keeps annotations as `key=value`; of a key that comes twice the first counts. */
function labelRecord(labels: readonly string[]): Record<string, string> {
  const record = new Map<string, string>();
  for (const label of labels) {
    const at = label.indexOf("=");
    const key = label.slice(0, at);
    if (at > 0 && !record.has(key)) record.set(key, label.slice(at + 1));
  }
  return Object.fromEntries(record);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}
