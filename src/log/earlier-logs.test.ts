import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { earlierLogPath, earlierLogs, MAX_EARLIER_BOOTS } from "./earlier-logs.ts";
import type { BootEvent } from "./event.ts";
import { formatRecord } from "./record.ts";

const idOf = (boot: number) => `00000000-0000-4000-8000-${String(boot).padStart(12, "0")}`;

function bootOf(boot: number, previous: number | null = boot === 0 ? null : boot - 1): BootEvent {
  const end = { recnum: 0, digest: "00".repeat(32), pcr: "00".repeat(32) };
  return {
    ...{ type: "boot", time: "2026-01-02T03:04:05.678Z", bootId: idOf(boot) },
    previous: previous === null ? null : { bootId: idOf(previous), ...end },
  };
}

/** A folder with the logs of these boots. */
function folderOf(t: TestContext, ...boots: BootEvent[]): string {
  const folder = mkdtempSync(join(tmpdir(), "pims-log-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const boot of boots) write(folder, boot.bootId, boot);
  return folder;
}

function write(folder: string, bootId: string, boot: BootEvent): void {
  writeFileSync(earlierLogPath(folder, bootId), `${formatRecord(0, 13, [boot]).line}\n`);
}

const found = async (folder: string, boot: BootEvent) => (await earlierLogs(folder, boot)).map(({ bootId }) => bootId);

test("the logs before one are found by what each says of the one before, the oldest first", async (t) => {
  const folder = folderOf(t, bootOf(0), bootOf(1), bootOf(2), bootOf(9));
  assert.deepEqual(await found(folder, bootOf(3)), [idOf(0), idOf(1), idOf(2)]);
  assert.deepEqual(await found(folder, bootOf(0)), []);
});

test("they end at one that is missing, is another's, or was met before", async (t) => {
  const folder = folderOf(t, bootOf(0), bootOf(2), bootOf(3));
  assert.deepEqual(await found(folder, bootOf(4)), [idOf(2), idOf(3)]);
  write(folder, idOf(1), bootOf(7, 0));
  assert.deepEqual(await found(folder, bootOf(4)), [idOf(2), idOf(3)]);
  write(folder, idOf(1), bootOf(1, 3));
  assert.deepEqual(await found(folder, bootOf(4)), [idOf(1), idOf(2), idOf(3)]);
});

test("so many are followed and no more", async (t) => {
  const folder = folderOf(t, ...Array.from({ length: MAX_EARLIER_BOOTS + 5 }, (_, boot) => bootOf(boot)));
  const boots = await found(folder, bootOf(MAX_EARLIER_BOOTS + 5));
  assert.deepEqual([boots.length, boots[0]], [MAX_EARLIER_BOOTS, idOf(5)]);
});
