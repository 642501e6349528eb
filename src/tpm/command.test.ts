import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, toHex } from "../core/bytes.ts";
import { type Command, execute, prepareCommand, readResponse } from "./command.ts";
import { refusesTruncation, survivesMutation } from "./fixtures.ts";
import { EMPTY_PASSWORD } from "./session.ts";
import { inTurn } from "./transport/in-turn.ts";
import type { TpmTransport } from "./transport/transport.ts";

const none = new Uint8Array(0);
const plain: Command = { name: "GetRandom", parameters: fromHex("0004") };
const authorized: Command = {
  name: "CreatePrimary",
  handles: [0x4000000b],
  authorizations: [EMPTY_PASSWORD],
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
  assert.equal(toHex(prepareCommand(plain).bytes), "80010000000c0000017b0004");
  assert.equal(
    toHex(
      prepareCommand({
        name: "PCR_Extend",
        handles: [13],
        authorizations: [EMPTY_PASSWORD],
        parameters: fromHex("aa"),
      }).bytes,
    ),
    "80020000001c00000182" + "0000000d" + "00000009" + "400000090000000000" + "aa",
  );
});

test("a response with an authorisation", () => {
  const prepared = prepareCommand(authorized);
  const whole = fromHex("80020000001a00000000" + "80000000" + "00000003" + "0001ff" + "0000010000");
  const { handle, parameters } = readResponse(authorized, prepared, whole);
  assert.equal(handle, 0x80000000);
  assert.equal(toHex(parameters.sized(1)), "ff");
  parameters.end();
  refusesTruncation(whole, (bytes) => readResponse(authorized, prepared, bytes));
  survivesMutation(whole, (bytes) => readResponse(authorized, prepared, bytes));
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
  const { parameters } = await execute(inTurn(busy), plain);
  assert.equal(toHex(parameters.sized(2)), "1122");
  assert.equal(busy.sent.length, 3);
  const locked = scripted("80010000000a00000921");
  await assert.rejects(execute(inTurn(locked), plain), {
    code: "tpm-error",
    message: /TPM2_GetRandom: TPM_RC_LOCKOUT/,
  });
  assert.equal(locked.sent.length, 1);
});

test("none overtakes a command that has to be sent again", async () => {
  const sent: string[] = [];
  let refusals = 3;
  const tpm = inTurn({
    send: async (command) => {
      const which = toHex(command).slice(20);
      sent.push(which);
      return fromHex(which === "0001" && refusals-- > 0 ? "80010000000a00000922" : "80010000000c000000000000");
    },
    close: async () => {},
  });
  const numbered = (text: string): Command => ({ name: "GetRandom", parameters: fromHex(text) });
  await Promise.all(["0000", "0001", "0002", "0003"].map((text) => execute(tpm, numbered(text))));
  assert.deepEqual(sent, ["0000", "0001", "0001", "0001", "0001", "0002", "0003"]);
});

test("a TPM that is always busy is an error in bounded time", async () => {
  const busy = scripted("80010000000a00000922");
  const start = performance.now();
  await assert.rejects(execute(inTurn(busy), plain), { code: "tpm-error", message: /TPM_RC_RETRY/ });
  assert.ok(performance.now() - start < 10_000);
  assert.equal(busy.sent.length, 12);
});

test("a TPM 1.2 is told by its answer", async () => {
  await assert.rejects(execute(scripted("00c40000000a0000001e"), plain), { code: "tpm-error", message: /TPM 1\.2/ });
});
