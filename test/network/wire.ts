import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Whom the hosts of the network talk to each other by, and by what the test talks to them: two nets of 253 addresses. */
const WIRE = "10.77.0";
const CONTROL = "10.78.0";

const children = new Set<ChildProcess>();

/** Kills all that hosts run, and the hosts, for an end without waiting. They would die with this process, but later than it. */
export function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}

/** A program that runs on a host, and ends with this process in whatever way that ends. */
export type Running = ReturnType<Host["start"]>;

/** One machine of the network: a network namespace with a port on the wire, and one that only the test uses. */
export class Host {
  readonly name: string;
  /** Its address on the wire, which a cut concerns. */
  readonly address: string;
  /** Its address for the test, which no cut concerns. */
  readonly control: string;
  readonly port: string;
  readonly #pid: number;

  constructor(name: string, number: number, pid: number) {
    this.name = name;
    this.address = `${WIRE}.${number}`;
    this.control = `${CONTROL}.${number}`;
    this.port = `wire${number}`;
    this.#pid = pid;
  }

  /** Before a command, so that it runs there. */
  get within(): string[] {
    return ["nsenter", "--target", `${this.#pid}`, "--net", "--"];
  }

  start(command: readonly string[], stderr: number | "inherit" = "inherit") {
    const [program, ...args] = [...this.within, "setpriv", "--pdeathsig", "KILL", "--", ...command];
    const child = spawn(program!, args, { stdio: ["ignore", "ignore", stderr] });
    children.add(child);
    return child;
  }
}

/**
 * A network within the network namespace of this process, which must be one of its own: nothing of it is seen outside, no
 * way leads out, and all of it is gone with this process.
 */
export class Wire {
  #count = 0;

  constructor() {
    const links = ip("-o", "link").trim().split("\n");
    if (links.length > 1)
      throw new Error("this network namespace has other networks: run it as npm run test:network does");
    ip("link", "set", "lo", "up");
    for (const bridge of ["main", "apart", "control"]) {
      ip("link", "add", bridge, "type", "bridge");
      ip("link", "set", bridge, "up");
    }
    ip("address", "add", `${CONTROL}.254/24`, "dev", "control");
  }

  /** All addresses of the hosts among each other. */
  get range(): string {
    return `${WIRE}.0/24`;
  }

  async addHost(name: string): Promise<Host> {
    const holder = spawn("unshare", ["--net", "--", "setpriv", "--pdeathsig", "KILL", "--", "sleep", "infinity"], {
      stdio: "ignore",
    });
    children.add(holder);
    await once(holder, "spawn");
    const pid = holder.pid!;
    for (let tries = 0; netOf(pid) === netOf(process.pid); tries++) {
      if (tries > 500) throw new Error("no network namespace came to be");
      await sleep(10);
    }
    const number = ++this.#count;
    const host = new Host(name, number, pid);
    ip("link", "add", host.port, "type", "veth", "peer", "name", "wire", "netns", `${pid}`);
    ip("link", "add", `control${number}`, "type", "veth", "peer", "name", "control", "netns", `${pid}`);
    ip("link", "set", host.port, "master", "main", "up");
    ip("link", "set", `control${number}`, "master", "control", "up");
    const inside = (...args: string[]) => run(...host.within, "ip", ...args);
    inside("link", "set", "lo", "up");
    for (const [device, address] of [
      ["wire", host.address],
      ["control", host.control],
    ] as const) {
      inside("address", "add", `${address}/24`, "dev", device);
      inside("link", "set", device, "up");
    }
    return host;
  }

  /** Cuts these hosts off from all others: they hear only each other. */
  cut(hosts: readonly Host[]): void {
    for (const { port } of hosts) ip("link", "set", port, "master", "apart");
  }

  /** Puts them back. */
  heal(hosts: readonly Host[]): void {
    for (const { port } of hosts) ip("link", "set", port, "master", "main");
  }
}

const netOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`);
const ip = (...args: string[]): string => run("ip", ...args);

function run(...command: string[]): string {
  const [program, ...args] = command;
  return execFileSync(program!, args, { encoding: "utf8", timeout: 10_000, stdio: ["ignore", "pipe", "inherit"] });
}
