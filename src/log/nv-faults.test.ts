import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import { nvReadPublic, nvUndefine } from "../tpm/commands/nv.ts";
import { extendName } from "../tpm/extend-index.ts";
import { NvRegister } from "../tpm/nv-register.ts";
import { type Fate, startRelay } from "../tpm/relay.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { openTpm, type Tpm } from "../tpm/tpm.ts";
import { MeasurementLog } from "./measurement-log.ts";
import type { Register } from "./register.ts";
import { agreeing, BOOTS, numbered, numbersIn } from "./testing.ts";

const INDEX = 0x01800060;
const APPENDS = 3;

function registerOf(tpm: Tpm): Register {
  const nv = new NvRegister(tpm, INDEX);
  return {
    pcr: INDEX,
    read: () => nv.read(),
    extend: (digest) => nv.extend(fromHex(digest)),
    begin: async () => ({ count: String(await nv.begin()) }),
    goOn: ({ count }) => nv.goOn(BigInt(count)),
  };
}

test("a log in an NV index goes on wherever among the TPM's commands its agent was killed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "pims-log-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const direct = await openTpm(swtpm.address);
  t.after(() => direct.close());
  let left = 0;
  let fate: Fate = "pass";
  const relay = await startRelay(join(folder, "relay"), swtpm.address.slice("unix:".length), () => {
    left--;
    if (left > 0) return "pass";
    // The last command is carried out or not; nobody hears of it, and nothing comes after.
    return left === 0 ? fate : "hang-up";
  });
  t.after(() => relay.stop());

  /** How many records were acknowledged before the agent died; null when it did not die. */
  const live = async (state: string, number: number): Promise<number | null> => {
    const tpm = await openTpm(relay.address, { timeoutMs: 300 });
    let acknowledged = 0;
    try {
      const { log } = await MeasurementLog.open(state, registerOf(tpm), BOOTS[0]!);
      try {
        for (; acknowledged < APPENDS; acknowledged++) await log.append([numbered(number + acknowledged)]);
        return null;
      } finally {
        await log.close();
      }
    } catch {
      return acknowledged;
    } finally {
      await tpm.close();
    }
  };

  for (const how of ["hang-up", "lose"] as const) {
    fate = how;
    let killed = 0;
    for (let command = 1; ; command++) {
      const state = join(folder, `${how}-${command}`);
      left = command;
      const acknowledged = await live(state, 0);
      const register = registerOf(direct);
      const { log } = await MeasurementLog.open(state, register, BOOTS[0]!);
      await log.append([numbered(99)]);
      await log.close();
      const records = await agreeing(log.path, register);
      const numbers = numbersIn(records);
      const what = `${how} at command ${command}`;
      assert.equal(numbers.pop(), 99, what);
      assert.deepEqual(numbers, [...numbers.keys()], what);
      assert.ok(numbers.length >= (acknowledged ?? APPENDS), what);
      const [boot] = records[0]!.events;
      assert.ok(boot?.type === "boot" && boot.nv !== undefined);
      const index = (await nvReadPublic(direct, INDEX))!;
      assert.equal(toHex(index.name), toHex(extendName(INDEX, BigInt(boot.nv.count))), what);
      await nvUndefine(direct, index);
      // Also where not even the counter is there, every second time.
      if (command % 2 === 0) await nvUndefine(direct, (await nvReadPublic(direct, INDEX + 1))!);
      if (acknowledged === null) break;
      killed++;
    }
    assert.ok(killed > 20, `${killed} commands`);
  }
});
