import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { openProcConnector } from "./proc-connector.ts";
import { execFilter, listenMessage, parseProcEvents } from "./proc-event.ts";

function datagram(what: number, fields: number[]): Buffer {
  const bytes = Buffer.alloc(16 + 20 + 40);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(1, 16);
  bytes.writeUInt32LE(1, 20);
  bytes.writeUInt32LE(what, 36);
  for (const [index, field] of fields.entries()) bytes.writeUInt32LE(field, 52 + 4 * index);
  return bytes;
}

test("exec and the answer to a subscription are read, other events are not", () => {
  assert.deepEqual(parseProcEvents(datagram(2, [12, 11])), [{ what: "exec", pid: 11 }]);
  assert.deepEqual(parseProcEvents(datagram(0, [0])), [{ what: "acknowledged", number: -1, error: 0 }]);
  for (const what of [1, 4, 0x8000_0000]) assert.deepEqual(parseProcEvents(datagram(what, [12, 11, 12, 11])), []);
});

test("the kernel's filter is the program that was meant", () => {
  // ld [36]; jeq exec, accept; jeq none, accept; accept: ret -1; ret 0 - as words of a little-endian machine.
  const words = ["2000000024000000", "1500010000000002", "1500000100000000", "06000000ffffffff", "0600000000000000"];
  assert.equal(Buffer.from(execFilter()).toString("hex"), words.join(""));
});

test("truncated, mutated and random datagrams never throw", () => {
  const whole = Buffer.concat([datagram(2, [1, 1]), datagram(2, [2, 2])]);
  assert.equal(parseProcEvents(whole).length, 2);
  for (let end = 0; end < whole.length; end++) assert.ok(parseProcEvents(whole.subarray(0, end)).length <= 1);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 256 }), (bytes) => void parseProcEvents(bytes)));
});

test("the subscription is the one that the kernel knows", () => {
  assert.equal(
    Buffer.from(listenMessage(7, 0)).toString("hex"),
    "28000000030000000000000007000000010000000100000000000000000000000400000001000000",
  );
});

test("the kernel tells of a program that is executed", async (t) => {
  const seen: number[] = [];
  const connector = await openProcConnector({
    onExec: (pids) => seen.push(...pids),
    onError: (error) => assert.fail(String(error)),
  });
  t.after(() => connector.close());
  const child = spawn("/bin/sleep", ["0"]);
  await once(child, "exit");
  for (let tries = 0; tries < 50 && !seen.includes(child.pid!); tries++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(seen.includes(child.pid!));
});

test("in another pid namespace, where the kernel says nothing, that is told", () => {
  const module = JSON.stringify(new URL("./proc-connector.ts", import.meta.url).href);
  const script = `import(${module})
    .then(({ openProcConnector }) => openProcConnector({ onExec() {}, onError() {} }))
    .then(() => process.exit(7), (error) => console.log(error.code, error.message));`;
  const args = ["--pid", "--fork", "--kill-child", process.execPath, "-e", script];
  const { status, stdout } = spawnSync("unshare", args, { encoding: "utf8", timeout: 20_000 });
  assert.equal(status, 0);
  assert.match(stdout, /^proc-connector .*first pid namespace only/);
});
