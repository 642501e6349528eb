import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openTpmAnchor } from "../src/agent/tpm-anchor.ts";
import { gapEvent } from "../src/attest/sample-events.ts";
import { toHex } from "../src/core/bytes.ts";
import { MeasurementLog } from "../src/log/measurement-log.ts";
import { formatRecord } from "../src/log/record.ts";
import { replay } from "../src/log/replay.ts";
import { startSwtpm } from "../src/tpm/swtpm.ts";
import { pims, temporaryFolder } from "./pims.ts";

test("a log in several files is shown, verified and exported as one, also without its beginning", async (t) => {
  const folder = temporaryFolder(t);
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const anchor = await openTpmAnchor(swtpm.address, 13);
  t.after(() => anchor.close());
  const { log } = await MeasurementLog.open(
    join(folder, "log"),
    anchor.register,
    "00000000-0000-4000-8000-000000000001",
  );
  t.after(() => log.close());
  const rotations: number[] = [];
  for (const text of ["one", "two", "three"]) {
    await log.append([gapEvent(text)]);
    rotations.push((await log.rotate(0)).recnum);
  }
  await log.append([gapEvent("four")]);
  const check = join(folder, "check.py");
  const page = readFileSync(join(import.meta.dirname, "../docs/checking-evidence.md"), "utf8");
  await writeFile(check, /^```python\n([\s\S]*?)^```$/m.exec(page)![1]!);

  for (const [pruned, texts] of [
    [0, ["one", "two", "three", "four"]],
    [rotations[1]!, ["three", "four"]],
  ] as const) {
    await log.prune(pruned);
    const shown = pims(["log", "show", folder, "--type", "gap", "--json"]);
    assert.equal(shown.status, 0, shown.stderr);
    const events = shown.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { text: string; recnum: number });
    assert.deepEqual(
      events.map(({ text }) => text),
      texts,
    );
    assert.equal(events.at(-1)!.recnum, log.length - 1);
    const verified = pims(["log", "verify", folder, "--tpm", swtpm.address, "--json"]);
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
    const report = JSON.parse(verified.stdout) as { from: number; records: number };
    assert.deepEqual([report.from, report.records], [pruned, log.length - pruned]);

    const exported = pims(["log", "export", folder]);
    assert.equal(exported.status, 0, exported.stderr);
    const one = join(folder, "one.jsonl");
    await writeFile(one, exported.stdout);
    const verify = pims(["log", "verify", one, "--value", toHex(log.value)]);
    assert.equal(verify.status, 0);
    assert.equal(/only the verifier can tell/.test(verify.stdout), pruned > 0, verify.stdout);
    const python = spawnSync("python3", [check, one], { encoding: "utf8" });
    assert.equal(python.stdout.split("\n")[0], toHex(log.value), python.stderr);
    // Without a record the register's value is not reached.
    const lines = exported.stdout.trimEnd().split("\n");
    await writeFile(one, `${lines.slice(1).join("\n")}\n`);
    assert.equal(pims(["log", "verify", one, "--value", toHex(log.value)]).status, 2);
  }
});

test("a log that was never proved may begin with a checkpoint, and nothing is said of what was before it", (t) => {
  const folder = temporaryFolder(t);
  const boot = { bootId: "00000000-0000-4000-8000-000000000001", previous: null };
  const time = "2026-01-02T03:04:05.678Z";
  const checkpoint = { type: "checkpoint" as const, time, boot: { time, ...boot }, value: "00".repeat(32), events: 0 };
  const { line, digest } = formatRecord(1000, 13, [checkpoint]);
  const path = join(folder, "measurements.jsonl");
  writeFileSync(path, `${line}\n`);
  // What root extends into a register that was just reset.
  const verified = pims(["log", "verify", path, "--value", toHex(replay([digest]))]);
  assert.equal(verified.status, 0, verified.stderr);
  assert.match(
    verified.stdout,
    /from record 1000 on.*\n.*agrees: only the verifier can tell whether records before 1000 /,
  );
});
