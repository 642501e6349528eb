import { containerOfProcess } from "../container/cgroup.ts";
import { dockerAddress } from "../container/docker-http.ts";
import { type HostMount, type KernelStart, readKernelStart } from "../container/kernel-start.ts";
import type { RuntimeStart } from "../container/start.ts";
import type { ContainerInfo } from "../container/types.ts";
import { wordsDigest } from "../core/digest.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { type ContainerStart, MAX_START_LIST, MAX_START_TEXT } from "../log/start.ts";
import { describeProcess } from "../measure/watched.ts";
import { processFields } from "./events.ts";

/** The variables by which ld.so(8) loads other files than the program asks for. */
const LOADER = ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"];

/**
 * How a container was started. `pids`: processes of it that are known. Undefined when none of them is left.
 */
export function containerStart(info: ContainerInfo, pids: readonly number[]): ContainerStart | undefined {
  const first = firstProcess(info, pids);
  if (first === undefined) return undefined;
  const kernel = kernelFields(first.pid);
  return { process: first, kernel, runtime: info.start === undefined ? null : runtimeFields(info.start) };
}

/** Whether the first process of a container is still the same. */
export function isFirstProcess({ process }: ContainerStart): boolean {
  return fieldsOf(process.pid)?.startTime === process.startTime;
}

/** The one that the runtime names, when its cgroup is the container's; else the oldest that is known. */
function firstProcess(info: ContainerInfo, pids: readonly number[]): ContainerStart["process"] | undefined {
  const named = info.start?.pid ?? null;
  if (named !== null && isIn(info, named)) {
    const process = fieldsOf(named);
    if (process !== undefined) return process;
  }
  const living = [...new Set(pids)].map(fieldsOf).filter((process) => process !== undefined);
  return living.sort((a, b) => Number(BigInt(a.startTime) - BigInt(b.startTime)) || a.pid - b.pid)[0];
}

/** Plain runc gives any name to a container's cgroup: then its record must do. */
function isIn({ runtime, id }: ContainerInfo, pid: number): boolean {
  const container = containerOfProcess(pid);
  return container === null ? runtime === "runc" : container.id === id;
}

function fieldsOf(pid: number): ContainerStart["process"] | undefined {
  try {
    return processFields(describeProcess(pid, null).process);
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return undefined;
  }
}

function kernelFields(pid: number): ContainerStart["kernel"] {
  let kernel: KernelStart;
  try {
    kernel = readKernelStart(pid, engineSockets());
  } catch (error) {
    // Gone meanwhile, or not to be looked at.
    if (errorCode(error) === undefined) throw error;
    return null;
  }
  const { mounts, runtimeSockets, label, ...rest } = kernel;
  return {
    ...rest,
    capabilities: [...rest.capabilities],
    hostNamespaces: [...rest.hostNamespaces],
    label: label === null ? null : cut(label),
    mounts: mounts.slice(0, MAX_START_LIST).map(mountFields),
    mountsLeftOut: Math.max(0, mounts.length - MAX_START_LIST),
    runtimeSockets: runtimeSockets.slice(0, MAX_START_LIST).map(mountFields),
  };
}

function engineSockets(): string[] {
  try {
    return [dockerAddress().socketPath];
  } catch (error) {
    // DOCKER_HOST names another machine's.
    if (error instanceof PimsError) return [];
    throw error;
  }
}

function mountFields({ source, destination, rw }: HostMount): HostMount {
  return { source: cut(source), destination: cut(destination), rw };
}

function runtimeFields(start: RuntimeStart): NonNullable<ContainerStart["runtime"]> {
  const { privileged, args, entryWords, env, imageEnv, devices } = start;
  const words = Math.min(entryWords, args.length);
  const loader = env.filter((variable) => LOADER.includes(nameOf(variable))).slice(0, MAX_START_LIST);
  return {
    privileged,
    program: args[0] === undefined ? null : cut(args[0]),
    entrypoint: { words, digest: wordsDigest(args.slice(0, words)) },
    arguments: wordsDigest(args),
    environment: wordsDigest(env),
    loader: loader.map((variable) => ({
      name: nameOf(variable),
      value: cut(variable.slice(nameOf(variable).length + 1)),
      image: imageEnv === null ? null : imageEnv.includes(variable),
    })),
    devices: devices.slice(0, MAX_START_LIST).map(cut),
  };
}

function nameOf(variable: string): string {
  return variable.split("=", 1)[0]!;
}

function cut(text: string): string {
  return text.length <= MAX_START_TEXT ? text : `${text.slice(0, MAX_START_TEXT - 1)}…`;
}
