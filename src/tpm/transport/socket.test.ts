import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { fromHex } from "../../core/bytes.ts";
import { tctiOf } from "../address.ts";
import { getRandom } from "../commands/get-random.ts";
import { pcrExtend } from "../commands/pcr-extend.ts";
import { pcrRead } from "../commands/pcr-read.ts";
import { extendAll, testFolder, testTpm } from "../fixtures.ts";
import { openTpm } from "../tpm.ts";

const run = promisify(execFile);

/** A server that answers each connection's first bytes as `answer` does. */
async function hostile(t: TestContext, answer: (socket: Socket) => void): Promise<string> {
  const path = join(await testFolder(t), "s");
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => answer(socket));
  });
  server.listen(path);
  await once(server, "listening");
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return `unix:${path}`;
}

const good = fromHex("80010000000e0000000000021122");

test("a response in pieces is put together", async (t) => {
  const address = await hostile(t, (socket) => {
    let sent = 0;
    const timer = setInterval(() => {
      socket.write(good.subarray(sent, ++sent));
      if (sent === good.length) clearInterval(timer);
    }, 1);
  });
  const tpm = await openTpm(address);
  assert.deepEqual(await getRandom(tpm, 2), fromHex("1122"));
  await tpm.close();
});

test("truncated, oversized and trailing responses are malformed", async (t) => {
  for (const [answer, end] of [
    [good.subarray(0, 9), true],
    [good.subarray(0, 13), true],
    [new Uint8Array([...good, 0]), false],
    [fromHex("8001ffffffff00000000"), false],
    [fromHex("80010000100100000000"), false], // 4097 bytes
    [fromHex("80010000000900000000"), false], // less than a header
  ] as const) {
    const address = await hostile(t, (socket) => void (end ? socket.end(answer) : socket.write(answer)));
    const tpm = await openTpm(address, { timeoutMs: 2000 });
    await assert.rejects(getRandom(tpm, 2), { code: "tpm-malformed" });
    await tpm.close();
  }
});

test("hanging up and silence end in bounded time", async (t) => {
  const gone = await openTpm(await hostile(t, (socket) => void socket.destroy()));
  await assert.rejects(getRandom(gone, 2), { code: "tpm-unreachable", message: /hung up/ });
  const silent = await openTpm(await hostile(t, () => {}), { timeoutMs: 200 });
  const start = performance.now();
  await assert.rejects(getRandom(silent, 2), { code: "tpm-unreachable", message: /did not answer within 200 ms/ });
  assert.ok(performance.now() - start < 5000);
});

test("a port is as good as a path", async (t) => {
  const tpm = await testTpm(t);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    const target = createConnection(tpm.address.slice("unix:".length));
    for (const end of [socket, target]) open.add(end.on("error", () => {}));
    socket.pipe(target).pipe(socket);
  });
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const byPort = await openTpm(`tcp:127.0.0.1:${port}`);
  await pcrExtend(byPort, "sha256", 16, new Uint8Array(32).fill(1));
  assert.deepEqual((await pcrRead(tpm, "sha256", [16])).get(16), extendAll([new Uint8Array(32).fill(1)]));
  await byPort.close();
  assert.equal(tctiOf(`tcp:127.0.0.1:${port}`), `swtpm:host=127.0.0.1,port=${port}`);
  for (const address of ["tcp:127.0.0.1", "tcp:127.0.0.1:0", "tcp:a b:1", "tcp:[::1]", "tcp:x:65536"])
    await assert.rejects(openTpm(address), { code: "tpm-unreachable", message: /is not the address/ }, address);
});

test("commands are carried out in the order of the calls, also after one that fails", async (t) => {
  const tpm = await testTpm(t);
  const digests = Array.from({ length: 30 }, (_, index) => new Uint8Array(32).fill(index));
  const failing = pcrExtend(tpm, "sha256", 99, digests[0]!);
  const extends_ = digests.map((digest) => pcrExtend(tpm, "sha256", 16, digest));
  await assert.rejects(failing, { code: "tpm-error" });
  await Promise.all(extends_);
  assert.deepEqual((await pcrRead(tpm, "sha256", [16])).get(16), extendAll(digests));
});

test("closing waits for what was sent, and nothing is sent afterwards", async (t) => {
  const tpm = await testTpm(t);
  const second = await openTpm(tpm.address);
  const last = pcrExtend(second, "sha256", 16, new Uint8Array(32));
  await second.close();
  await last;
  await assert.rejects(getRandom(second, 1), { code: "tpm-unreachable", message: /closed/ });
});

test("several programs and tpm2-tools take turns on one swtpm", async (t) => {
  const tpm = await testTpm(t);
  const rounds = 40;
  const folder = join(import.meta.dirname, "..");
  const program = `
    const { openTpm } = await import(${JSON.stringify(join(folder, "tpm.ts"))});
    const { pcrExtend } = await import(${JSON.stringify(join(folder, "commands/pcr-extend.ts"))});
    const tpm = await openTpm(process.argv[1]);
    for (let i = 0; i < ${rounds}; i++) await pcrExtend(tpm, "sha256", Number(process.argv[2]), new Uint8Array(32).fill(i));
    await tpm.close();`;
  const pcrs = [8, 9, 10, 11];
  const ended = pcrs.map(async (pcr) => {
    const args = ["--input-type=module", "-e", program, tpm.address, String(pcr)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const [status] = await once(child, "exit");
    assert.equal(status, 0);
  });
  let over = false;
  const all = Promise.all(ended).finally(() => {
    over = true;
  });
  while (!over) await run("tpm2_pcrread", ["-T", tctiOf(tpm.address), "sha256:8"], { timeout: 20_000 });
  await all;
  const expected = extendAll(Array.from({ length: rounds }, (_, index) => new Uint8Array(32).fill(index)));
  for (const [, value] of await pcrRead(tpm, "sha256", pcrs)) assert.deepEqual(value, expected);
});

test("a connection that somebody holds makes others wait, not fail", async (t) => {
  const tpm = await testTpm(t);
  // After its answer the server has no connection waiting, so the next one gets a turn at once.
  await getRandom(tpm, 1);
  const holder = createConnection(tpm.address.slice("unix:".length));
  t.after(() => holder.destroy());
  await once(holder, "connect");
  holder.write(fromHex("80010000000c0000017b0002"));
  await once(holder, "data", { signal: AbortSignal.timeout(15_000) });
  const waiting = getRandom(tpm, 4);
  const short = await openTpm(tpm.address, { timeoutMs: 300 });
  await assert.rejects(getRandom(short, 4), { code: "tpm-unreachable" });
  holder.destroy();
  assert.equal((await waiting).length, 4);
});
