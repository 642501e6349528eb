import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { PimsError } from "../core/errors.ts";
import { pcrReset } from "../tpm/commands/pcr-reset.ts";
import { testTpm } from "../tpm/fixtures.ts";
import type { Tpm } from "../tpm/tpm.ts";
import { LOG_FILE, MeasurementLog } from "./measurement-log.ts";
import { formatRecord, type LogRecord, parseRecord } from "./record.ts";
import type { Register } from "./register.ts";
import {
  agreeing,
  BOOTS,
  numbered,
  numbersIn,
  PCR,
  registerOf,
  type Step,
  steppedFiles,
  steppedRegister,
} from "./testing.ts";

const [first, second] = BOOTS as [string, string];

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-faults-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A log under way, and what of it was acknowledged. */
interface Run {
  readonly folder: string;
  readonly register: Register;
  readonly acknowledged: number[];
  rotates?: boolean;
}

/**
 * Opens the log and appends records of two events each, until six are there that were not before. With `rotates` each goes
 * into a segment of its own, and what is before the last but one is removed.
 */
async function work({ folder, register, acknowledged, rotates }: Run, bootId: string, step: Step): Promise<void> {
  const files = steppedFiles(step);
  const { log } = await MeasurementLog.open(folder, steppedRegister(register, step), bootId, { files });
  try {
    const end = acknowledged.length + 6;
    for (let next = acknowledged.length; next < end; next += 2) {
      await log.append([numbered(next), numbered(next + 1)]);
      acknowledged.push(next, next + 1);
      if (!rotates) continue;
      const { recnum } = await log.rotate(0);
      // Each segment before the last holds a checkpoint and a record.
      await log.prune(recnum - 2);
    }
  } finally {
    await log.close();
  }
}

/** Injected: a process that is killed at the step with this number, after which it does nothing any more. */
function killAt(number: number, onStep: Step = () => {}): { step: Step; reached: () => string | undefined } {
  let count = 0;
  let reached: string | undefined;
  const step: Step = (name, path) => {
    if (count++ === number) reached = name;
    if (reached !== undefined) throw new Error(`killed ${reached}`);
    return onStep(name, path);
  };
  return { step, reached: () => reached };
}

/** Kills at every step in turn until there is no such step; `check` sees what is left. The names of the steps. */
async function killEverywhere(
  tpm: Tpm,
  t: TestContext,
  bootId: string,
  prepare: (run: Run) => Promise<void>,
  check: (run: Run, name: string) => Promise<void>,
  onStep?: Step,
): Promise<Set<string>> {
  const names = new Set<string>();
  for (let number = 0; ; number++) {
    await pcrReset(tpm, PCR);
    const run: Run = { folder: folderOf(t), register: registerOf(tpm), acknowledged: [] };
    await prepare(run);
    const { step, reached } = killAt(number, onStep);
    await work(run, bootId, step).catch((error) => assert.ok(reached() !== undefined, error));
    const name = reached();
    if (name === undefined) return names;
    names.add(name);
    await check(run, `killed ${name}, step ${number}`);
  }
}

/** The next start goes on with the log: what was acknowledged is there, each event once and in order. */
async function goesOn(run: Run, bootId: string, name: string): Promise<LogRecord[]> {
  const { folder, register, acknowledged } = run;
  const { log } = await MeasurementLog.open(folder, register, bootId);
  const held = numbersIn(await agreeing(log.path, register));
  // What is pruned is not there any more.
  const first = run.rotates ? (held[0] ?? acknowledged.length) : 0;
  assert.ok(first <= Math.max(0, acknowledged.length - 2), `${name}: the last but one segment is there`);
  const end = first + held.length;
  assert.ok(end >= acknowledged.length, name);
  assert.ok(end - acknowledged.length <= 2, `${name}: at most the record under way is more`);
  await log.append([numbered(end)]);
  await log.close();
  const records = await agreeing(log.path, register);
  assert.deepEqual(
    numbersIn(records),
    Array.from({ length: held.length + 1 }, (_, index) => first + index),
    name,
  );
  return records;
}

const nothing: Step = () => {};
const APPENDING = ["before write", "half a line", "after write", "after fsync", "before extend", "after extend"];

test("killed at any step of beginning and appending, the log goes on", async (t) => {
  const names = await killEverywhere(
    await testTpm(t),
    t,
    first,
    async () => {},
    async (run, name) => void (await goesOn(run, first, name)),
  );
  for (const name of [...APPENDING, "after draft", "after rename"]) assert.ok(names.has(name), name);
});

test("killed at any step of mending a torn or unextended record, the log goes on", async (t) => {
  const tpm = await testTpm(t);
  const torn = async (run: Run) => {
    await work(run, first, nothing);
    writeFileSync(join(run.folder, LOG_FILE), Buffer.from('{"recnum":4,"pcr":16,"dig\u{fc}').subarray(0, -1), {
      flag: "a",
    });
  };
  const names = await killEverywhere(tpm, t, first, torn, async (run, name) => void (await goesOn(run, first, name)));
  assert.ok(names.has("after truncate"));
  const unextended = async (run: Run) => {
    await work(run, first, nothing);
    const [next] = run.acknowledged.slice(-1);
    const { line } = formatRecord(4, PCR, [numbered(next! + 1), numbered(next! + 2)]);
    writeFileSync(join(run.folder, LOG_FILE), `${line}\n`, { flag: "a" });
    run.acknowledged.push(next! + 1, next! + 2);
  };
  await killEverywhere(tpm, t, first, unextended, async (run, name) => void (await goesOn(run, first, name)));
});

test("killed at any step of going on in a new segment, or of removing an old one, the log goes on", async (t) => {
  const prepare = async (run: Run) => {
    run.rotates = true;
    await work(run, first, nothing);
  };
  const names = await killEverywhere(
    await testTpm(t),
    t,
    first,
    prepare,
    async (run, name) => void (await goesOn(run, first, name)),
  );
  for (const name of ["after draft", "after link", "after rename", "before extend", "after remove"])
    assert.ok(names.has(name), name);
});

test("killed at any step of a new boot's beginning, its log names the last boot's last record", async (t) => {
  const tpm = await testTpm(t);
  let old = "";
  const names = await killEverywhere(
    tpm,
    t,
    second,
    async (run) => {
      await work(run, first, nothing);
      old = readFileSync(join(run.folder, LOG_FILE), "utf8");
      await pcrReset(tpm, PCR);
      run.acknowledged.length = 0;
    },
    async (run, name) => {
      const [record] = await goesOn(run, second, name);
      const last = parseRecord(old.trimEnd().split("\n").at(-1)!, 3);
      const [boot] = record!.events;
      assert.ok(boot?.type === "boot" && boot.bootId === second, name);
      assert.deepEqual(
        [boot.previous?.bootId, boot.previous?.recnum, boot.previous?.digest],
        [first, 3, last.digest],
        name,
      );
      assert.equal(readFileSync(join(run.folder, `measurements-${first}.jsonl`), "utf8"), old, name);
    },
  );
  for (const name of ["after draft", "after link", "after rename"]) assert.ok(names.has(name), name);
});

test("when power fails at any step, the next boot names at least the last record that was acknowledged", async (t) => {
  const tpm = await testTpm(t);
  let synced = new Map<string, number>();
  await killEverywhere(
    tpm,
    t,
    first,
    async () => {
      synced = new Map();
    },
    async ({ folder, register, acknowledged }, name) => {
      // What was written and not synced is gone, and so is the register's value.
      const path = join(folder, LOG_FILE);
      if (existsSync(path) && synced.has(path)) truncateSync(path, synced.get(path));
      await pcrReset(tpm, PCR);
      const { log } = await MeasurementLog.open(folder, register, second);
      await log.close();
      const [boot] = (await agreeing(path, register))[0]!.events;
      assert.ok(boot?.type === "boot", name);
      if (boot.previous === null) return assert.deepEqual(acknowledged, [], name);
      const lines = readFileSync(join(folder, `measurements-${first}.jsonl`), "utf8")
        .split("\n")
        .slice(0, -1);
      const records = lines.map(parseRecord);
      assert.deepEqual(
        [boot.previous.recnum, boot.previous.digest],
        [records.length - 1, records.at(-1)!.digest],
        name,
      );
      const held = numbersIn(records);
      assert.deepEqual(held.slice(0, acknowledged.length), acknowledged, name);
    },
    (name, path) => {
      if (["after fsync", "before open"].includes(name) && existsSync(path)) synced.set(path, statSync(path).size);
    },
  );
});

test("after a write or fsync that failed the log takes nothing more, and the next start goes on", async (t) => {
  const tpm = await testTpm(t);
  for (const [index, name] of APPENDING.entries()) {
    await pcrReset(tpm, PCR);
    const run: Run = { folder: folderOf(t), register: registerOf(tpm), acknowledged: [] };
    let armed = false;
    const step: Step = (at) => {
      if (!armed || at !== name) return;
      armed = false;
      throw index < 4
        ? new PimsError("log-unwritable", "the log cannot be written (EIO)")
        : new PimsError("tpm-unreachable", "no answer");
    };
    const files = steppedFiles(step);
    const { log } = await MeasurementLog.open(run.folder, steppedRegister(run.register, step), first, { files });
    await log.append([numbered(0)]);
    run.acknowledged.push(0);
    armed = true;
    if (index < 4) {
      await assert.rejects(log.append([numbered(1)]), { code: "log-unwritable" }, name);
      assert.ok(log.failed);
      await assert.rejects(log.append([numbered(1)]), { code: "log-failed", message: /EIO/ }, name);
    } else {
      // Nobody knows what became of the extend but the register.
      await log.append([numbered(1)]);
      run.acknowledged.push(1);
    }
    await log.close();
    await goesOn(run, first, name);
  }
});

/** A file system of its own, so small that it is soon full. */
function tinyDisk(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-faults-"));
  t.after(() => {
    spawnSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "pims-test", folder]);
  return folder;
}

test("on a full disk the log ends at a record, and goes on when there is room", async (t) => {
  const tpm = await testTpm(t);
  await pcrReset(tpm, PCR);
  const run: Run = { folder: tinyDisk(t), register: registerOf(tpm), acknowledged: [] };
  const { log } = await MeasurementLog.open(run.folder, run.register, first);
  const fill = async () => {
    for (let next = 0; ; next++) {
      await log.append([numbered(next)]);
      run.acknowledged.push(next);
    }
  };
  await assert.rejects(fill(), { code: "log-unwritable", message: /ENOSPC/ });
  await assert.rejects(log.append([numbered(0)]), { code: "log-failed" });
  await log.close();
  // Mended while the disk is still full; then appending fails again at once.
  const still = await MeasurementLog.open(run.folder, run.register, first);
  assert.deepEqual(numbersIn(await agreeing(still.log.path, run.register)), run.acknowledged);
  await assert.rejects(still.log.append([{ ...numbered(0), text: "x".repeat(4000) } as never]), {
    code: "log-unwritable",
  });
  await still.log.close();
  execFileSync("mount", ["-o", "remount,size=1m", run.folder]);
  await goesOn(run, first, "with room");
});

test("on a disk that can only be read, or is full, no log is begun and none is lost", async (t) => {
  const tpm = await testTpm(t);
  await pcrReset(tpm, PCR);
  const run: Run = { folder: tinyDisk(t), register: registerOf(tpm), acknowledged: [] };
  writeFileSync(join(run.folder, "ballast"), Buffer.alloc(64 * 1024 - 8192));
  await assert.rejects((async () => writeFileSync(join(run.folder, "more"), Buffer.alloc(64 * 1024)))(), {
    code: "ENOSPC",
  });
  await assert.rejects(MeasurementLog.open(run.folder, run.register, first), { code: "log-unwritable" });
  assert.deepEqual(await run.register.read(), new Uint8Array(32));
  for (const name of readdirSync(run.folder)) rmSync(join(run.folder, name));
  await work(run, first, nothing);
  execFileSync("mount", ["-o", "remount,ro", run.folder]);
  await assert.rejects(MeasurementLog.open(run.folder, run.register, first), {
    code: "log-unwritable",
    message: /EROFS/,
  });
  await pcrReset(tpm, PCR);
  await assert.rejects(MeasurementLog.open(run.folder, run.register, second), {
    code: "log-unwritable",
    message: /EROFS/,
  });
  execFileSync("mount", ["-o", "remount,rw", run.folder]);
  const { log } = await MeasurementLog.open(run.folder, run.register, second);
  await log.close();
  const [boot] = (await agreeing(log.path, run.register))[0]!.events;
  assert.equal(boot?.type === "boot" && boot.previous?.bootId, first);
});
