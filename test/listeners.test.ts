import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runTool } from "../src/demo/run-tool.ts";
import type { Fact } from "../src/measure/facts.ts";
import { Sweeper } from "../src/measure/sweep.ts";
import { listenerName } from "../src/process/listen-address.ts";
import { readNetwork } from "../src/process/network.ts";
import { CORPUS } from "./attacks/corpus.ts";
import { makeLabImage } from "./attacks/image.ts";
import { temporaryFolder } from "./pims.ts";

const PATIENCE_MS = 40_000;
const PYTHON = "import os, socket, sys, time\n";
const REST = "\nprint('ready', flush=True)\ntime.sleep(100)\n";
const methods = ["auto", "fallback"] as const;
let folder = "";
let rootfs = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "pims-listeners-"));
  rootfs = (await makeLabImage(CORPUS, folder)).rootfs;
});
after(() => rm(folder, { recursive: true, force: true }));

/** Where a container's network is: its own, the host's, or another process's. */
type Network = "own" | "host" | { readonly of: number };

interface Running {
  readonly id: string;
  readonly pid: number;
}

/** A runc container that runs a script in Python and has said that it is ready. */
async function container(
  t: TestContext,
  network: Network,
  script: string,
  capabilities: readonly string[] = [],
): Promise<Running> {
  const bundle = temporaryFolder(t);
  await runTool("runc", ["spec", "--bundle", bundle]);
  const spec = JSON.parse(await readFile(join(bundle, "config.json"), "utf8"));
  spec.root = { path: rootfs, readonly: true };
  spec.process.terminal = false;
  spec.process.args = ["/usr/bin/python3", "-c", PYTHON + script + REST];
  for (const set of Object.values(spec.process.capabilities) as string[][]) set.push(...capabilities);
  const namespaces = spec.linux.namespaces.filter(({ type }: { type: string }) => type !== "network");
  if (network === "own") namespaces.push({ type: "network" });
  else if (network !== "host") namespaces.push({ type: "network", path: `/proc/${network.of}/ns/net` });
  spec.linux.namespaces = namespaces;
  // A new sysfs needs a network namespace of one's own.
  spec.mounts = spec.mounts.filter(({ type }: { type: string }) => type !== "sysfs");
  await writeFile(join(bundle, "config.json"), JSON.stringify(spec));
  const id = `pims-listeners-${randomBytes(4).toString("hex")}`;
  t.after(() => runTool("runc", ["delete", "--force", id]));
  const log = join(bundle, "output.log");
  const command = `exec runc run --detach --bundle ${bundle} ${id} >${log} 2>&1 </dev/null`;
  assert.equal(
    spawnSync("sh", ["-c", command], { stdio: "ignore", timeout: 20_000 }).status,
    0,
    readFileSync(log, "latin1"),
  );
  for (const end = performance.now() + PATIENCE_MS; !(await readFile(log, "latin1")).includes("ready"); await sleep(10))
    if (performance.now() > end) assert.fail(`the container is not ready: ${await readFile(log, "latin1")}`);
  const { pid } = JSON.parse(await runTool("runc", ["state", id])) as { pid: number };
  return { id, pid };
}

/** Sweeps as an agent would, with both methods, which must come to the same. */
class Watch {
  readonly #eyes = methods.map((method) => ({
    sweeper: new Sweeper({ scope: "containers", method }),
    facts: [] as Fact[],
  }));

  constructor(t: TestContext) {
    t.after(() => Promise.all(this.#eyes.map(({ sweeper }) => sweeper.close())));
  }

  async sweep(times = 1): Promise<void> {
    for (; times > 0; times--) {
      for (const { sweeper, facts } of this.#eyes) facts.push(...(await sweeper.sweep()).facts);
      // A namespace is not read again while its last reading is being rested from.
      await sleep(50);
    }
  }

  /** Sweeps until something is so by both methods. */
  async until(what: string, one: Running, holds: (said: readonly string[]) => boolean): Promise<void> {
    const said = () => this.#eyes.map(({ facts }) => [...listenersOf(facts, one), ...unknownOf(facts, one)]);
    for (const end = performance.now() + PATIENCE_MS; !said().every(holds); await this.sweep())
      if (performance.now() > end) assert.fail(`${what} did not come to be: ${JSON.stringify(said(), null, 1)}`);
  }

  /** What both methods say of a container's listening sockets. */
  of(one: Running): string[] {
    const [said, ...others] = this.#eyes.map(({ facts }) => listenersOf(facts, one));
    for (const other of others) assert.deepEqual(other, said);
    return said!;
  }

  unknown(one: Running): string[] {
    return this.#eyes.flatMap(({ facts }) => unknownOf(facts, one));
  }
}

/** `tcp/80`, with the program where it is not the container's first process, and `?` where nobody holds it. */
function listenersOf(facts: readonly Fact[], { id, pid }: Running): string[] {
  const said = facts.flatMap((fact) => {
    if (fact.kind !== "listener" || fact.process.container?.id !== id) return [];
    const who = fact.process.pid === pid ? "" : ` by ${fact.process.comm}`;
    return [`${listenerName(fact.listener)}${who}${fact.held ? "" : " ?"}`];
  });
  return [...new Set(said)].sort();
}

function unknownOf(facts: readonly Fact[], { id }: Running): string[] {
  return facts.flatMap((fact) => (fact.kind === "unreadable" && fact.process.container?.id === id ? [fact.text] : []));
}

const ALL_KINDS = `
def listener(family, kind, address, only6=None, protocol=0):
    one = socket.socket(family, kind, protocol)
    if only6 is not None:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
    one.bind(address)
    if kind != socket.SOCK_DGRAM:
        one.listen()
    return one
INET, INET6, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
held = [
    listener(INET, STREAM, ("0.0.0.0", 4444)),
    listener(INET, DGRAM, ("0.0.0.0", 4444)),
    listener(INET6, STREAM, ("::", 4444), 1),
    listener(INET6, STREAM, ("::", 4445), 0),
    listener(INET6, DGRAM, ("::1", 4446)),
    listener(INET, STREAM, ("127.0.0.1", 4447)),
    listener(INET6, STREAM, ("::ffff:127.0.0.1", 4448)),
    listener(UNIX, STREAM, "\\0pims test"),
    listener(UNIX, socket.SOCK_SEQPACKET, "\\0pims packets"),
    listener(INET, DGRAM, ("0.0.0.0", 40000)),
    listener(UNIX, STREAM, "/dev/shm/x.sock"),
]
bound = socket.socket()
bound.bind(("0.0.0.0", 5000))
talking = socket.socket(INET, DGRAM)
talking.bind(("127.0.0.1", 5001))
talking.connect(("127.0.0.1", 5002))
`;

test("sockets of every kind, and no others", async (t) => {
  const one = await container(t, "own", `${ALL_KINDS}`);
  const watch = new Watch(t);
  await watch.until("the socket on a client's port", one, (said) => said.includes("udp/40000"));
  assert.deepEqual(watch.of(one), [
    "tcp/127.0.0.1:4447",
    "tcp/127.0.0.1:4448",
    "tcp/4444",
    "tcp/[::]:4444",
    "tcp/[::]:4445",
    "udp/40000",
    "udp/4444",
    "udp/[::1]:4446",
    "unix/@pims packets",
    "unix/@pims test",
  ]);
  assert.deepEqual(watch.unknown(one), []);
});

test("a shared namespace, the host's network, and sockets of the host's own processes", async (t) => {
  const listen = (port: number) => `one = socket.socket()\none.bind(("0.0.0.0", ${port}))\none.listen()`;
  const first = await container(t, "own", listen(7001));
  const second = await container(t, { of: first.pid }, listen(7002));
  const [mine, port] = await freePorts(t);
  const third = await container(t, "host", listen(port));
  // As Docker's name server: a process of the host's with a socket in the container's network.
  const host = await hostProcess(
    t,
    first.pid,
    `${listen(7003)}\nudp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nudp.bind(("127.0.0.11", 7004))`,
  );
  assert.equal(readNetwork(host.pid!)!.network, readNetwork(first.pid)!.network);
  const watch = new Watch(t);
  for (const one of [first, second, third]) await watch.until("a listening socket", one, (said) => said.length > 0);
  await watch.sweep(5);
  assert.deepEqual(watch.of(first), ["tcp/7001"]);
  assert.deepEqual(watch.of(second), ["tcp/7002"]);
  assert.deepEqual(watch.of(third), [`tcp/${port}`], `and not ${mine}, which is this process's`);
  for (const one of [first, second, third]) assert.deepEqual(watch.unknown(one), []);
});

test("a socket that is passed on, shared, or held by nobody", async (t) => {
  const one = await container(
    t,
    "own",
    `
def listen(port, reuse=False):
  one = socket.socket()
  if reuse:
      one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
  one.bind(("0.0.0.0", port))
  one.listen()
  return one
passed = listen(7001)
shared = listen(7002, True)
if os.fork() == 0:
  again = listen(7002, True)
  os.set_inheritable(again.fileno(), True)
  os.execv("/bin/sleep", ["sleep", "100"])
flying = listen(7003)
left, right = socket.socketpair()
socket.send_fds(left, [b"x"], [flying.fileno()])
flying.close()
print("ready", flush=True)
while not os.path.exists("/dev/shm/go"):
  time.sleep(0.01)
os.set_inheritable(passed.fileno(), True)
if os.fork() == 0:
  os.execv("/usr/bin/tail", ["tail", "-f", "/dev/null"])
passed.close()
`,
  );
  const watch = new Watch(t);
  await watch.until("the socket that nobody holds", one, (said) => said.includes("tcp/7003 ?"));
  assert.deepEqual(watch.of(one), ["tcp/7001", "tcp/7002", "tcp/7002 by sleep", "tcp/7003 ?"]);
  await runTool("runc", ["exec", one.id, "/usr/bin/touch", "/dev/shm/go"]);
  await watch.until("the other holder", one, (said) => said.includes("tcp/7001 by tail"));
  assert.deepEqual(watch.unknown(one), []);
});

test("in a shared namespace a socket that nobody holds makes coverage incomplete", async (t) => {
  const first = await container(
    t,
    "own",
    `
flying = socket.socket(socket.AF_INET6)
flying.bind(("::", 7003))
flying.listen()
left, right = socket.socketpair()
socket.send_fds(left, [b"x"], [flying.fileno()])
flying.close()`,
  );
  const second = await container(t, { of: first.pid }, "");
  const watch = new Watch(t);
  const both = [first, second];
  for (const one of both) await watch.until("incomplete coverage", one, (said) => said.length > 0);
  for (const one of both) {
    assert.deepEqual(watch.of(one), []);
    assert.match(watch.unknown(one)[0]!, /no process was found that holds a listening socket \(tcp\/\[::\]:7003\)/);
  }
});

test("a process that moves to another namespace is followed there", async (t) => {
  const script = `
import ctypes
print("ready", flush=True)
while not os.path.exists("/dev/shm/go"):
    time.sleep(0.01)
assert ctypes.CDLL(None).unshare(0x40000000) == 0
one = socket.socket()
one.bind(("0.0.0.0", 7005))
one.listen()
`;
  const one = await container(t, "own", script, ["CAP_SYS_ADMIN"]);
  const before = readNetwork(one.pid)!.network;
  const watch = new Watch(t);
  await watch.sweep(2);
  await runTool("runc", ["exec", one.id, "/usr/bin/touch", "/dev/shm/go"]);
  await watch.until("the socket in the new namespace", one, (said) => said.length > 0);
  assert.deepEqual(watch.of(one), ["tcp/7005"]);
  assert.notEqual(readNetwork(one.pid)!.network, before);
});

/** Ports that nobody has: one that this process listens on, and one that is free again. */
async function freePorts(t: TestContext): Promise<[number, number]> {
  const servers = [createServer().listen(0), createServer().listen(0)] as const;
  await Promise.all(servers.map((server) => once(server, "listening")));
  t.after(() => servers[0].close());
  const [mine, free] = servers.map((server) => (server.address() as { port: number }).port) as [number, number];
  servers[1].close();
  await once(servers[1], "close");
  return [mine, free];
}

/** Python on the host, in the network of a container's process. */
async function hostProcess(t: TestContext, pid: number, script: string): Promise<ChildProcess> {
  const child = spawn("nsenter", [`--net=/proc/${pid}/ns/net`, "python3", "-c", PYTHON + script + REST], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await once(child.stdout!, "data");
  return child;
}
