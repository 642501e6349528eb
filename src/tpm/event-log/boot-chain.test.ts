import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { hash } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import { vector, vectorsFolder, withoutVectors } from "../../../test/vectors.ts";
import { concatBytes, fromHex, toHex } from "../../core/bytes.ts";
import { survivesMutation } from "../fixtures.ts";
import { bootChain, secureBootOf } from "./boot-chain.ts";
import { BOOT_EVENT_TYPE } from "./boot-event-types.ts";
import { EV_NO_ACTION, parseBootLog } from "./pc-client.ts";
import { replayBootLog } from "./replay.ts";
import { secureBootVariable, sha1Event } from "./sample-boot-log.ts";

const { EV_EFI_VARIABLE_DRIVER_CONFIG, EV_SEPARATOR, EV_IPL } = BOOT_EVENT_TYPE;
const separator = sha1Event(7, EV_SEPARATOR, new Uint8Array(4));
const variable = (value: number) => sha1Event(7, EV_EFI_VARIABLE_DRIVER_CONFIG, secureBootVariable(value));

test("a log of SHA-1 only is read and replayed", () => {
  const first = sha1Event(0, EV_NO_ACTION, concatBytes(Buffer.from("Spec ID Event02\0"), new Uint8Array(9)));
  const bytes = concatBytes(first, separator);
  const log = parseBootLog(bytes);
  assert.deepEqual([log.banks, log.events.length], [["sha1"], 2]);
  const expected = hash("sha1", concatBytes(new Uint8Array(20), log.events[1]!.digests.get("sha1")!));
  assert.equal(toHex(replayBootLog(log, "sha1").get(7)!), expected);
  for (let length = 0; length < bytes.length; length++)
    if (length !== first.length)
      assert.throws(() => parseBootLog(bytes.subarray(0, length)), { code: "tpm-malformed" }, `${length}`);
  survivesMutation(bytes, (altered) => bootChain(parseBootLog(altered), "sha1"));
});

test("Secure Boot is on only where an event whose digest is its data's says so before the separator", () => {
  const stateOf = (...events: Uint8Array[]) => secureBootOf(parseBootLog(concatBytes(...events)), "sha1");
  assert.equal(stateOf(variable(1), separator), "on");
  assert.equal(stateOf(variable(0), separator), "off");
  assert.equal(stateOf(separator), "unknown");
  assert.equal(stateOf(separator, variable(1)), "unknown");
  assert.equal(stateOf(variable(1), variable(0), separator), "off");
  const lie = sha1Event(7, EV_EFI_VARIABLE_DRIVER_CONFIG, secureBootVariable(1), secureBootVariable(0));
  assert.equal(stateOf(lie, separator), "unknown");
  const cut = sha1Event(7, EV_EFI_VARIABLE_DRIVER_CONFIG, secureBootVariable(1).subarray(0, 40));
  assert.equal(stateOf(cut, separator), "unknown");
  const elsewhere = sha1Event(5, EV_EFI_VARIABLE_DRIVER_CONFIG, secureBootVariable(1));
  assert.equal(stateOf(elsewhere, separator), "unknown");
});

test("a step says what was measured, and whether the digest is of that", () => {
  const command = Buffer.from("grub_cmd: linux /vmlinuz\0");
  const log = parseBootLog(
    concatBytes(variable(1), separator, sha1Event(8, EV_IPL, command, Buffer.from("linux /vmlinuz"))),
  );
  assert.deepEqual(
    bootChain(log, "sha1").map(({ pcr, type, text, bound }) => [pcr, type, text, bound]),
    [
      [7, "EV_EFI_VARIABLE_DRIVER_CONFIG", "variable SecureBoot: 01", true],
      [7, "EV_SEPARATOR", "end of what the firmware measures before it starts another program", true],
      [8, "EV_IPL", "grub_cmd: linux /vmlinuz", false],
    ],
  );
});

test("hostile data only makes a poor description", () => {
  const huge = concatBytes(new Uint8Array(16), fromHex("ffffffffffffffff"), fromHex("ffffffffffffffff"));
  for (const type of [...Object.values(BOOT_EVENT_TYPE), 0x12345678].filter((type) => type !== EV_NO_ACTION))
    for (const data of [new Uint8Array(0), huge, new Uint8Array(100_000).fill(0x41), fromHex("00d8")]) {
      const [step] = bootChain(parseBootLog(concatBytes(separator, sha1Event(1, type, data))), "sha1").slice(1);
      assert.ok(step!.text.length <= 256);
    }
});

test("real machines' boots, and what tpm2_eventlog reads in them", { skip: withoutVectors() }, (t) => {
  if (spawnSync("tpm2_eventlog", ["--version"]).error !== undefined) t.diagnostic("tpm2_eventlog is not installed");
  for (const name of ["tpm2-tools-event-arch-linux.bin", "HIRS-TpmLog.bin"]) {
    const log = parseBootLog(vector(name));
    const steps = bootChain(log, "sha256");
    assert.ok(steps.some(({ text }) => text.startsWith("variable SecureBoot: ")));
    if (name.startsWith("tpm2")) assert.equal(secureBootOf(log, "sha256"), "off");
    if (spawnSync("tpm2_eventlog", ["--version"]).error !== undefined) continue;
    const text = execFileSync("tpm2_eventlog", [join(vectorsFolder()!, name)], { encoding: "utf8" });
    const events = text
      .slice(0, text.lastIndexOf("\npcrs:"))
      .split(/^- EventNum: /m)
      .slice(1)
      .map((event) => [
        Number(/^ {2}PCRIndex: (\d+)/m.exec(event)![1]),
        /^ {2}EventType: (\S+)/m.exec(event)![1],
        /AlgorithmId: sha256\n {4}Digest: "([0-9a-f]+)"/.exec(event)?.[1],
      ])
      .filter(([, type]) => type !== "EV_NO_ACTION");
    assert.deepEqual(
      steps.map(({ pcr, type, digest }) => [pcr, type, digest]),
      events,
    );
  }
});
