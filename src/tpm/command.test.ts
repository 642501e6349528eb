import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import { type Command, decodeResponse, encodeCommand, execute } from "./command.ts";
import { refusesTruncation, survivesMutation } from "./fixtures.ts";
import type { TpmTransport } from "./transport/transport.ts";

const none = new Uint8Array(0);
const plain: Command = { name: "GetRandom", parameters: fromHex("0004") };
const authorized: Command = {
  name: "CreatePrimary",
  handles: [0x4000000b],
  authorized: true,
  returnsHandle: true,
  parameters: none,
};

/** Answers with what it was given, one after the other. */
function scripted(...answers: string[]): TpmTransport & { sent: string[] } {
  const sent: string[] = [];
  return {
    sent,
    send: async (command) => {
      sent.push(toHex(command));
      return fromHex(answers[Math.min(sent.length, answers.length) - 1]!);
    },
    close: async () => {},
  };
}

test("the bytes of a command", () => {
  assert.equal(toHex(encodeCommand(plain)), "80010000000c0000017b0004");
  assert.equal(
    toHex(encodeCommand({ name: "PCR_Extend", handles: [13], authorized: true, parameters: fromHex("aa") })),
    "80020000001c00000182" + "0000000d" + "00000009" + "400000090000000000" + "aa",
  );
});

test("a response with an authorisation", () => {
  const whole = fromHex("80020000001a00000000" + "80000000" + "00000003" + "0001ff" + "0000010000");
  const { handle, parameters } = decodeResponse(authorized, whole);
  assert.equal(handle, 0x80000000);
  assert.equal(toHex(parameters.sized(1)), "ff");
  parameters.end();
  refusesTruncation(whole, (bytes) => decodeResponse(authorized, bytes));
  survivesMutation(whole, (bytes) => decodeResponse(authorized, bytes));
});

test("a response that is not as its header says is malformed", async () => {
  for (const answer of [
    "",
    "8001",
    "80010000000b00000000", // longer than it is
    "80010000000a0000000000", // shorter than it is
    "80020000000a00000000", // an authorisation that was not asked for
    "80010000000b0000010100", // an error with something behind it
    "00c40000000a00000000", // success of a TPM 1.2
  ])
    await assert.rejects(execute(scripted(answer), plain), { code: "tpm-malformed" }, answer);
});

test("a command that had no effect is sent again, others are not", async () => {
  const busy = scripted("80010000000a00000922", "80010000000a00000908", "80010000000e0000000000021122");
  const { parameters } = await execute(busy, plain);
  assert.equal(toHex(parameters.sized(2)), "1122");
  assert.equal(busy.sent.length, 3);
  const locked = scripted("80010000000a00000921");
  await assert.rejects(execute(locked, plain), { code: "tpm-error", message: /TPM2_GetRandom: TPM_RC_LOCKOUT/ });
  assert.equal(locked.sent.length, 1);
});

test("a TPM that is always busy is an error in bounded time", async () => {
  const busy = scripted("80010000000a00000922");
  const start = performance.now();
  await assert.rejects(execute(busy, plain), { code: "tpm-error", message: /TPM_RC_RETRY/ });
  assert.ok(performance.now() - start < 10_000);
  assert.equal(busy.sent.length, 12);
});

test("a TPM 1.2 is told by its answer", async () => {
  await assert.rejects(execute(scripted("00c40000000a0000001e"), plain), { code: "tpm-error", message: /TPM 1\.2/ });
});
