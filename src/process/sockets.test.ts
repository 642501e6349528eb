import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { readNetwork } from "./network.ts";
import {
  listenAddress,
  parseInternetSockets,
  parseSocketCounts,
  parseUnixSockets,
  readListeningSockets,
} from "./sockets.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, state: string, inode: number, remote = "00000000:0000") =>
  `  17: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 000000008bd7c5dc 100 0 0 10 0\n`;

test("the kernel's lines: listening TCP, unconnected UDP, and no others", () => {
  const text =
    HEAD + line("0100007F:115C", "0A", 11) + line("0100007F:115D", "01", 12) + line("00000000:0035", "07", 13);
  const said = (protocol: "tcp" | "udp") =>
    parseInternetSockets(protocol, text).map((socket) => [socket.inode, listenAddress(socket)]);
  assert.deepEqual(said("tcp"), [["11", { protocol: "tcp", address: "127.0.0.1", port: 4444 }]]);
  assert.deepEqual(said("udp"), [["13", { protocol: "udp", address: "0.0.0.0", port: 53 }]]);
});

test("addresses of IPv6; one that is mapped from IPv4 is the IPv4 address", () => {
  const addresses = (local: string) =>
    parseInternetSockets("tcp", HEAD + line(`${local}:0050`, "0A", 1)).map((socket) => listenAddress(socket).address);
  assert.deepEqual(addresses("00000000000000000000000000000000"), ["::"]);
  assert.deepEqual(addresses("00000000000000000000000001000000"), ["::1"]);
  assert.deepEqual(addresses("0000000000000000FFFF00000100007F"), ["127.0.0.1"]);
  assert.deepEqual(addresses("B80D0120000000000000000001000000"), ["2001:db8::1"]);
  assert.deepEqual(addresses("000000000000000000000000010000"), [], "too short");
});

test("unix sockets: listening ones with abstract names only", () => {
  const text =
    "Num       RefCount Protocol Flags    Type St Inode Path\n" +
    "00000000da5cef5a: 00000002 00000000 00010000 0001 01 101 @abstract name@\n" +
    "00000000da5cef5a: 00000002 00000000 00010000 0005 01   7 @\u00ff\n" +
    "00000000da5cef5a: 00000002 00000000 00010000 0001 01 102 /run/x.sock\n" +
    "00000000da5cef5a: 00000003 00000000 00000000 0001 03 103 @connected\n" +
    "00000000da5cef5a: 00000002 00000000 00000000 0002 01 104 @datagrams\n";
  assert.deepEqual(
    parseUnixSockets(text).map((socket) => [socket.inode, listenAddress(socket)]),
    [
      ["101", { protocol: "unix", address: "@abstract name@", port: 0 }],
      ["7", { protocol: "unix", address: { hex: "40ff" }, port: 0 }],
    ],
  );
});

test("a name with a newline adds a socket and hides none", () => {
  const real = (inode: number, name: string) =>
    `00000000da5cef5a: 00000002 00000000 00010000 0001 01 ${inode} @${name}\n`;
  const inodes = parseUnixSockets(
    real(1, "a") + real(2, `x\n${real(9, "forged")}00000000da5cef5a: 000`) + real(3, "b"),
  ).map(({ inode }) => inode);
  assert.deepEqual(inodes, ["1", "2", "9", "3"]);
});

test("whatever a table holds, reading it ends, and every socket has an address", () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "0100007F:115C ",
      "00000000:0000 ",
      "0A ",
      "07 ",
      "\n",
      " ",
      "@",
      "1: ",
      "9".repeat(400),
      "0".repeat(32),
    ),
    fc.constant(line("0100007F:115C", "0A", 11)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const text = pieces.join("");
      for (const found of [
        parseInternetSockets("tcp", text),
        parseInternetSockets("udp", text),
        parseUnixSockets(text),
      ])
        for (const socket of found) {
          const { port } = listenAddress(socket);
          assert.ok(port >= 0 && port <= 65_535);
          assert.match(socket.inode, /^\d+$/);
        }
      parseSocketCounts(text);
    }),
  );
  const long = `${" ".repeat(1_000_000)}1: ${"0".repeat(1_000_000)}\n@${"x".repeat(1_000_000)}`;
  const start = performance.now();
  assert.deepEqual([...parseInternetSockets("tcp", long), ...parseUnixSockets(long)], []);
  assert.ok(performance.now() - start < 2000);
});

/** Python in a network namespace of its own, where nobody else has sockets; it has said that it is ready. */
async function inOwnNetwork(t: TestContext, script: string): Promise<ChildProcess & { pid: number }> {
  const child = spawn(
    "unshare",
    ["--net", "python3", "-c", `${script}\nprint("ready", flush=True)\nimport time\ntime.sleep(60)`],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  t.after(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await once(child.stdout!, "data");
  return child as ChildProcess & { pid: number };
}

for (const [method, ask] of [
  ["asked", true],
  ["tables", false],
] as const) {
  test(`${method}: what this process listens on, and not what it is connected to`, async (t) => {
    const four = createServer().listen(0, "127.0.0.1");
    const six = createServer().listen(0, "::1");
    const name = `pims-sockets-${process.pid}-${method}`;
    const abstract = createServer().listen(`\0${name}`);
    const udp = createSocket("udp4").bind(0, "127.0.0.1");
    const talking = createSocket("udp6").bind(0, "::1");
    await Promise.all([four, six, abstract, udp, talking].map((one) => once(one, "listening")));
    t.after(() => {
      for (const one of [four, six, abstract]) one.close();
      for (const one of [udp, talking]) one.close();
    });
    const port = (one: { address(): unknown }) => (one.address() as { port: number }).port;
    talking.connect(port(udp), "::1");
    await once(talking, "connect");
    const client = connect(port(four), "127.0.0.1");
    await once(client, "connect");
    t.after(() => client.destroy());
    const found = readListeningSockets("/proc/self", ask).map((socket) => JSON.stringify(listenAddress(socket)));
    const has = (protocol: string, address: string, port: number) =>
      found.filter((one) => one === JSON.stringify({ protocol, address, port })).length;
    assert.equal(has("tcp", "127.0.0.1", port(four)), 1);
    assert.equal(has("tcp", "::1", port(six)), 1);
    assert.equal(has("udp", "127.0.0.1", port(udp)), 1);
    assert.equal(has("udp", "::1", port(talking)), 0);
    assert.equal(has("unix", `@${name}`, 0), 1);
    assert.equal(has("tcp", "127.0.0.1", client.localPort!), 0);
  });

  test(`${method}: another namespace, and afterwards this process is where it was`, async (t) => {
    const before = readNetwork(process.pid);
    const child = await inOwnNetwork(
      t,
      `import socket
many = []
for port in range(2000, 2600):
    one = socket.socket(socket.AF_INET6)
    one.bind(("::", port))
    one.listen()
    many.append(one)
mptcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
mptcp.bind(("0.0.0.0", 3000))
mptcp.listen()
bound = socket.socket()
bound.bind(("0.0.0.0", 3001))`,
    );
    const view = readNetwork(child.pid)!;
    assert.notEqual(view.network, before!.network);
    const found = readListeningSockets(view.folder, ask);
    const ports = found.map((socket) => listenAddress(socket).port).sort((a, b) => a - b);
    assert.deepEqual(ports, [...Array.from({ length: 600 }, (_, index) => 2000 + index), 3000]);
    assert.equal(new Set(found.map(({ inode }) => inode)).size, 601);
    assert.deepEqual(readNetwork(process.pid), before);
  });

  test(`${method}: more sockets than are read are not silently left out`, async (t) => {
    const child = await inOwnNetwork(
      t,
      `import socket, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
many = []
for port in range(1, 18000):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("0.0.0.0", port))
    many.append(one)`,
    );
    assert.throws(() => readListeningSockets(`/proc/${child.pid}`, ask), { code: "coverage-incomplete" });
  });
}

test("what the kernel counts is what there is", () => {
  const counts = parseSocketCounts(readFileSync("/proc/self/net/sockstat", "latin1"));
  assert.ok(counts.has("TCP") && counts.has("UDP"));
  assert.deepEqual(
    parseSocketCounts("TCP6: inuse 3\nUDP6: inuse 0\nRAW: outuse 1\n"),
    new Map([
      ["TCP6", 3],
      ["UDP6", 0],
    ]),
  );
});
