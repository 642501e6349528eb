import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError, PimsError } from "../core/errors.ts";
import { TPM_CC } from "../tpm/constants.ts";
import { commandCode, type Fate, startRelay } from "../tpm/relay.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { openTpm, type Tpm } from "../tpm/tpm.ts";
import { MeasurementLog } from "./measurement-log.ts";
import { agreeing, BOOTS, numbered, numbersIn, registerOf } from "./testing.ts";

const bootId = BOOTS[0]!;
const TIMEOUT_MS = 300;

/** A log whose TPM does with the next extends what `fates` says, one after the other; with all else and later it is honest. */
async function faultyHost(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "pims-log-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const fates: (() => Fate | Promise<Fate>)[] = [];
  const state = { fates, extends: 0, gone: false };
  const relay = await startRelay(join(folder, "relay"), swtpm.address.slice("unix:".length), async (command) => {
    if (state.gone) return "hang-up";
    if (commandCode(command) !== TPM_CC.PCR_Extend) return "pass";
    state.extends++;
    return (await fates.shift()?.()) ?? "pass";
  });
  t.after(() => relay.stop());
  const tpms: Tpm[] = [];
  const open = async () => {
    const tpm = await openTpm(relay.address, { timeoutMs: TIMEOUT_MS });
    tpms.push(tpm);
    return (await MeasurementLog.open(join(folder, "log"), registerOf(tpm), bootId)).log;
  };
  t.after(() => Promise.all(tpms.map((tpm) => tpm.close())));
  const direct = await openTpm(swtpm.address);
  t.after(() => direct.close());
  /** Each numbered event is in the log once, and the TPM's own register agrees. */
  const holds = async (log: MeasurementLog, count: number) =>
    assert.deepEqual(numbersIn(await agreeing(log.path, registerOf(direct))), [...Array(count).keys()]);
  return { state, fates, open, holds };
}

test("an extend whose answer is late or lost was carried out, and is not begun again", async (t) => {
  const { state, fates, open, holds } = await faultyHost(t);
  const log = await open();
  const before = state.extends;
  const cases: (() => Fate | Promise<Fate>)[] = [
    () => "lose",
    () => ({ late: TIMEOUT_MS + 150 }),
    // Carried out only after its caller has given it up: whoever looked too early would begin it again.
    () => sleep(TIMEOUT_MS + 150, "pass" as const),
    () => sleep(TIMEOUT_MS + 150, "lose" as const),
  ];
  for (const [number, fate] of cases.entries()) {
    fates.push(fate);
    await log.append([numbered(number)]);
    assert.equal(state.extends, before + number + 1, String(number));
    await holds(log, number + 1);
  }
  await log.close();
});

test("an extend that was not carried out is begun once more, and what the TPM asks to be sent again is", async (t) => {
  const { state, fates, open, holds } = await faultyHost(t);
  const log = await open();
  fates.push(() => "hang-up");
  await log.append([numbered(0)]);
  // Not while the TPM has it: that was late and not carried out.
  fates.push(() => sleep(TIMEOUT_MS + 150, "hang-up" as const));
  await log.append([numbered(1)]);
  fates.push(() => 0x921);
  await log.append([numbered(2)]);
  assert.equal(state.extends, 7);
  for (const code of [0x922, 0x908, 0x90a, 0x920]) fates.push(() => code);
  await log.append([numbered(3)]);
  assert.equal(state.extends, 12);
  await holds(log, 4);
  await log.close();
});

test("with a TPM that refuses, hangs or is gone the log ends in one sentence, and goes on when it is back", async (t) => {
  const { state, fates, open, holds } = await faultyHost(t);
  let count = 0;
  const ends = async (message: RegExp, fault: () => void, mend: () => void) => {
    const log = await open();
    fault();
    const record = [numbered(count), numbered(count + 1)];
    count += 2;
    await assert.rejects(log.append(record), (error) => {
      assert.ok(error instanceof PimsError && error.code === "extend-undecided");
      assert.match(describeError(error), message);
      return true;
    });
    assert.ok(log.failed);
    await assert.rejects(log.append([numbered(99)]), { code: "log-failed" });
    await log.close();
    mend();
    const again = await open();
    await holds(again, count);
    await again.append([numbered(count)]);
    count++;
    await holds(again, count);
    await again.close();
  };
  const nothing = () => {};
  await ends(
    /does not take it .*TPM_RC_LOCKOUT.*start the agent again/,
    () =>
      fates.push(
        () => 0x921,
        () => 0x921,
      ),
    nothing,
  );
  await ends(
    /does not take it .*TPM_RC_FAILURE/,
    () =>
      fates.push(
        () => 0x101,
        () => 0x101,
      ),
    nothing,
  );
  await ends(/nobody can say .*did not answer/, () => fates.push(() => "swallow"), nothing);
  const leave = () => {
    state.gone = true;
  };
  const come = () => {
    state.gone = false;
  };
  await ends(/nobody can say .*hung up/, leave, come);
  // Gone in the instant after it was carried out.
  const last = () => {
    leave();
    return "lose" as const;
  };
  await ends(/nobody can say .*hung up/, () => fates.push(last), come);
});

test("a TPM that takes 20 ms a command is only slow", async (t) => {
  const { fates, open, holds } = await faultyHost(t);
  const log = await open();
  for (let count = 0; count < 20; count++) fates.push(() => sleep(20, "pass" as const));
  await Promise.all(Array.from({ length: 20 }, (_, number) => log.append([numbered(number)])));
  await holds(log, 20);
  await log.close();
});
