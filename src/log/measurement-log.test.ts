import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { LogEvent } from "./event.ts";
import { LOG_FILE, MeasurementLog } from "./measurement-log.ts";
import { formatRecord, type LogRecord, parseRecord } from "./record.ts";
import type { Register } from "./register.ts";
import { extendValue, replay, ZERO_PCR } from "./replay.ts";

const bootId = "00000000-0000-4000-8000-000000000001";
const otherBoot = "00000000-0000-4000-8000-000000000002";
const gap = (text: string): LogEvent => ({ type: "gap", time: "2026-01-02T03:04:05.678Z", text });

/** A register in memory, so that faults can be injected at any point; real TPMs are tested end to end. */
class TestRegister implements Register {
  readonly pcr = 13;
  value = ZERO_PCR;
  extends = 0;
  fault: "none" | "before" | "after" | "foreign" = "none";

  async read() {
    return this.value;
  }

  async extend(digest: string) {
    const fault = this.fault;
    this.fault = "none";
    if (fault === "before") throw new Error("no answer");
    if (fault === "foreign") {
      this.value = extendValue(this.value, "ff".repeat(32));
      throw new Error("no answer");
    }
    this.value = extendValue(this.value, digest);
    this.extends++;
    if (fault === "after") throw new Error("no answer");
  }
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "pims-log-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A log with three records, closed. */
async function written(t: TestContext): Promise<{ path: string; file: string; register: TestRegister }> {
  const path = folder(t);
  const register = new TestRegister();
  const { log } = await MeasurementLog.open(path, register, bootId);
  for (const events of [[gap("one")], [gap("two"), gap("three")]]) await log.append(events);
  await log.close();
  return { path, file: join(path, LOG_FILE), register };
}

test("a log goes on where it stopped", async (t) => {
  const { path, register } = await written(t);
  const { log, isNew } = await MeasurementLog.open(path, register, bootId);
  const records: LogRecord[] = [];
  for await (const record of log.records()) records.push(record);
  assert.ok(!isNew);
  assert.equal(log.length, 3);
  assert.deepEqual(
    records.map(({ events }) => events.length),
    [1, 1, 2],
  );
  assert.deepEqual(await log.append([gap("four")]).then(({ recnum }) => recnum), 3);
  assert.deepEqual(register.value, log.value);
  await log.close();
});

test("a record that was written and not extended is extended", async (t) => {
  const { path, file, register } = await written(t);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const digests = lines.map((line) => /"digest":"([0-9a-f]+)"/.exec(line)![1]!);
  register.value = replay(digests.slice(0, 2));
  const { log } = await MeasurementLog.open(path, register, bootId);
  assert.deepEqual(register.value, replay(digests));
  assert.equal(log.length, 3);
  await log.close();
});

test("a torn last line is cut off, and only where the register never saw it", async (t) => {
  const { path, file, register } = await written(t);
  const before = readFileSync(file, "utf8");
  appendFileSync(file, '{"recnum":3,"pcr":13,"dig');
  const { log } = await MeasurementLog.open(path, register, bootId);
  await log.append([gap("four")]);
  await log.close();
  const after = readFileSync(file, "utf8");
  assert.ok(after.startsWith(before));
  assert.equal(after.trimEnd().split("\n").length, 4);

  appendFileSync(file, '{"recnum":4,"pcr":13,"dig');
  register.value = extendValue(register.value, "00".repeat(32));
  await assert.rejects(MeasurementLog.open(path, register, bootId), { code: "pcr-mismatch" });
});

test("a removed, altered or foreign record is named", async (t) => {
  const { path, file, register } = await written(t);
  const text = readFileSync(file, "utf8");
  const lines = text.split("\n");
  writeFileSync(file, text.replace("one", "eno"));
  await assert.rejects(MeasurementLog.open(path, register, bootId), {
    code: "log-broken",
    message: /record 1 .*digest/,
  });
  writeFileSync(file, [lines[0], ...lines.slice(2)].join("\n"));
  await assert.rejects(MeasurementLog.open(path, register, bootId), {
    code: "log-broken",
    message: /record 1 .*missing/,
  });
  writeFileSync(file, `${lines[0]}\n`);
  await assert.rejects(MeasurementLog.open(path, register, bootId), { code: "pcr-mismatch" });
  rmSync(file);
  await assert.rejects(MeasurementLog.open(path, register, bootId), {
    code: "pcr-mismatch",
    message: /already in use/,
  });
  writeFileSync(file, `${formatRecord(0, 13, [gap("one")]).line}\n`);
  await assert.rejects(MeasurementLog.open(path, register, bootId), { code: "log-broken", message: /boot event/ });
  writeFileSync(file, Buffer.from([0x7b, 0xff, 0x0a]));
  await assert.rejects(MeasurementLog.open(path, register, bootId), { code: "log-broken" });
});

test("after a reboot a new log begins and says how the last one ended", async (t) => {
  const { path, file, register } = await written(t);
  const before = readFileSync(file, "utf8");
  const end = Buffer.from(register.value).toString("hex");
  await assert.rejects(MeasurementLog.open(path, register, otherBoot), {
    code: "pcr-mismatch",
    message: /another boot/,
  });
  register.value = ZERO_PCR;
  const { log, isNew } = await MeasurementLog.open(path, register, otherBoot);
  assert.ok(isNew);
  await log.close();
  const [first] = parseRecord(readFileSync(file, "utf8").trimEnd(), 0).events;
  const digest = parseRecord(before.trimEnd().split("\n")[2]!, 2).digest;
  assert.deepEqual(first?.type === "boot" && [first.bootId, first.previous], [
    otherBoot,
    { bootId, recnum: 2, digest, pcr: end },
  ]);
  assert.equal(readFileSync(join(path, `measurements-${bootId}.jsonl`), "utf8"), before);
});

test("an extend without an answer is decided by reading the register", async (t) => {
  const register = new TestRegister();
  const { log } = await MeasurementLog.open(folder(t), register, bootId);
  register.fault = "after";
  await log.append([gap("zero")]);
  assert.equal(register.extends, 2);
  register.fault = "before";
  await log.append([gap("one")]);
  assert.equal(register.extends, 3);
  assert.deepEqual(register.value, log.value);
  register.fault = "foreign";
  await assert.rejects(log.append([gap("two")]), { code: "pcr-mismatch" });
  await assert.rejects(log.append([gap("three")]), { code: "pcr-mismatch" });
  await log.close();
});

test("appends at the same time keep their order", async (t) => {
  const register = new TestRegister();
  const path = folder(t);
  const { log } = await MeasurementLog.open(path, register, bootId);
  const start = register.value;
  const numbers = await Promise.all(Array.from({ length: 50 }, (_, index) => log.append([gap(String(index))])));
  assert.deepEqual(
    numbers.map(({ recnum }) => recnum),
    Array.from({ length: 50 }, (_, index) => index + 1),
  );
  await log.close();
  const digests = numbers.map(({ digest }) => digest);
  assert.deepEqual(replay(digests, start), register.value);
});

test("where records begin is known, also after the log was opened again", async (t) => {
  const register = new TestRegister();
  const path = folder(t);
  const { log } = await MeasurementLog.open(path, register, bootId);
  for (let count = 0; count < 599; count++) await log.append([gap("é".repeat(count % 7))]);
  await log.close();
  const again = (await MeasurementLog.open(path, register, bootId)).log;
  const text = readFileSync(again.path);
  for (const one of [log, again])
    for (const recnum of [0, 1, 255, 256, 599, 600, 5000]) {
      const [{ from: at, startByte } = assert.fail()] = one.segmentsFrom(recnum);
      assert.ok(at <= recnum && recnum - at < 256 + Math.max(0, recnum - 600), String(recnum));
      assert.ok(text.subarray(startByte).toString().startsWith(`{"recnum":${at},`), String(recnum));
    }
  await again.close();
});
