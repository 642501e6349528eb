import assert from "node:assert/strict";
import { test } from "node:test";
import { describeResponseCode, responseName, tpmError } from "./response-code.ts";

test("format one tells handle, session and parameter apart", () => {
  const subject = (code: number) => {
    const { name, subject } = describeResponseCode(code);
    return [name, subject?.kind, subject?.number];
  };
  assert.deepEqual(subject(0x184), ["TPM_RC_VALUE", "handle", 1]);
  assert.deepEqual(subject(0x98e), ["TPM_RC_AUTH_FAIL", "session", 1]);
  assert.deepEqual(subject(0x2d5), ["TPM_RC_SIZE", "parameter", 2]);
  assert.deepEqual(subject(0xfd5), ["TPM_RC_SIZE", "parameter", 15]);
  assert.deepEqual(subject(0x08b), ["TPM_RC_HANDLE", "handle", 0]);
});

test("format zero: errors, warnings, vendor's codes, a TPM 1.2", () => {
  const name = (code: number): string => describeResponseCode(code).name;
  assert.equal(name(0x100), "TPM_RC_INITIALIZE");
  assert.equal(name(0x101), "TPM_RC_FAILURE");
  assert.equal(name(0x143), "TPM_RC_COMMAND_CODE");
  assert.equal(name(0x902), "TPM_RC_OBJECT_MEMORY");
  assert.equal(name(0x910), "TPM_RC_REFERENCE_H0");
  assert.equal(name(0x921), "TPM_RC_LOCKOUT");
  assert.equal(name(0x01e), "TPM_RC_BAD_TAG");
  assert.equal(name(0x500), "0x00000500");
  assert.equal(name(0xb0143), "TPM_RC_COMMAND_CODE");
});

test("only what had no effect is sent again", () => {
  const retried = Array.from({ length: 0x1000 }, (_, code) => code).filter((code) => describeResponseCode(code).retry);
  assert.deepEqual(retried, [0x908, 0x90a, 0x920, 0x922]);
});

test("every number has a description", () => {
  for (let code = 1; code <= 0xffff; code++) assert.ok(describeResponseCode(code).meaning.length > 0);
  assert.ok(describeResponseCode(0xffff_ffff).name.length > 0);
});

test("the error names command, code and subject", () => {
  const error = tpmError("Quote", 0x1d5);
  assert.equal(error.code, "tpm-error");
  assert.equal(error.message, "TPM2_Quote: TPM_RC_SIZE for parameter 1, the structure has the wrong size");
  assert.equal(responseName(error), "TPM_RC_SIZE");
  assert.equal(responseName(new Error("TPM_RC_SIZE")), undefined);
});
