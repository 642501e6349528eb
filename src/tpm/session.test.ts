import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { toHex } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import { tctiOf } from "./address.ts";
import { execute, prepareCommand, readResponse } from "./command.ts";
import { contextLoad, contextSave, flushContext } from "./commands/context.ts";
import { create } from "./commands/create.ts";
import { createPrimary } from "./commands/create-primary.ts";
import { getHandles } from "./commands/get-capability.ts";
import { load } from "./commands/load.ts";
import { nvDefine, nvRead, nvReadPublic, nvWrite } from "./commands/nv.ts";
import { pcrExtend } from "./commands/pcr-extend.ts";
import { policyAuthValue, policyCommandCode, policyGetDigest, policyPcr, policySecret } from "./commands/policy.ts";
import { startSession } from "./commands/start-session.ts";
import { FIRST_HANDLE, TPM_RH_ENDORSEMENT, TPM_RH_OWNER, TPMA_NV } from "./constants.ts";
import { refusesTruncation, survivesMutation, testFolder, testTpm } from "./fixtures.ts";
import { kdfa } from "./kdf.ts";
import { bySession, password } from "./session.ts";
import { attestationTemplate, ekTemplate, storageTemplate } from "./templates.ts";
import type { Tpm } from "./tpm.ts";
import { WireWriter } from "./wire.ts";

const run = promisify(execFile);
const secret = new Uint8Array(Buffer.from("an authorisation"));
const data = new Uint8Array(Buffer.from("what nobody on the way may read!"));
const nvPublic = {
  index: 0x01500010,
  nameAlg: "sha256",
  attributes: TPMA_NV.authRead | TPMA_NV.authWrite,
  authPolicy: new Uint8Array(0),
  size: data.length,
} as const;

/** The same TPM, with all that goes to it and comes from it. `alter` changes responses on their way. */
function overheard(tpm: Tpm): {
  tpm: Tpm;
  heard: () => string;
  alter: (change: (response: Uint8Array) => void) => void;
} {
  let all = "";
  let change: (response: Uint8Array) => void = () => {};
  const alter = (next: typeof change): void => {
    change = next;
  };
  const send = async (command: Uint8Array): Promise<Uint8Array> => {
    const response = await tpm.send(command);
    all += toHex(command) + toHex(response);
    change(response);
    return response;
  };
  return { tpm: { ...tpm, send }, heard: () => all, alter };
}

test("with a salted session neither authorisation nor data travel in plain, by RSA and by ECC", async (t) => {
  const real = await testTpm(t);
  const { tpm, heard } = overheard(real);
  for (const kind of ["rsa-2048", "ecc-p256"] as const)
    for (const [aesBits, hash] of [
      [128, "sha256"],
      [256, "sha384"],
    ] as const) {
      const salt = await createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate(kind));
      const session = await startSession(tpm, { kind: "hmac", hash, salt, aesBits });
      await nvDefine(tpm, nvPublic, secret, bySession(session, { encryptCommand: true }));
      const index = (await nvReadPublic(tpm, nvPublic.index))!;
      const authorization = bySession(session, { authValue: secret, encryptCommand: true });
      await nvWrite(tpm, index, data, { authorization });
      const written = (await nvReadPublic(tpm, nvPublic.index))!;
      const reading = bySession(session, { authValue: secret, encryptResponse: true, ends: true });
      assert.deepEqual(await nvRead(tpm, written, { authorization: reading }), data);
      assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.loadedSession), []);
      for (const hidden of [secret, data]) assert.ok(!heard().includes(toHex(hidden)));
      await run("tpm2_nvundefine", ["-T", tctiOf(real.address), "-C", "o", "0x1500010"]);
      await flushContext(tpm, salt.handle);
    }
  // The test can hear: a password's command shows both.
  await nvDefine(tpm, nvPublic, secret);
  await nvWrite(tpm, (await nvReadPublic(tpm, nvPublic.index))!, data, { authorization: password(secret) });
  for (const shown of [secret, data]) assert.ok(heard().includes(toHex(shown)));
});

test("a password authorises while another session encrypts both ways", async (t) => {
  const tpm = await testTpm(t);
  const salt = await createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate("ecc-p256"));
  const session = await startSession(tpm, { kind: "hmac", salt });
  const hmac = await startSession(tpm, { kind: "hmac" });
  const parent = await createPrimary(tpm, TPM_RH_OWNER, storageTemplate("ecc-p256"));
  const encrypting = bySession(session, { encryptCommand: true, encryptResponse: true });
  const template = attestationTemplate("ecc-p256");
  const first = await create(tpm, { parent, template, authValue: secret, sessions: [encrypting] });
  // A session that authorises also vouches for the one that encrypts.
  const second = await create(tpm, { parent, template, authorization: bySession(hmac), sessions: [encrypting] });
  for (const created of [first, second]) await flushContext(tpm, (await load(tpm, parent, created)).handle);
});

test("a wrong authorisation value is refused, an altered response noticed", async (t) => {
  const real = await testTpm(t);
  const { tpm, alter } = overheard(real);
  await nvDefine(tpm, nvPublic, secret);
  const session = await startSession(tpm, { kind: "hmac" });
  const index = async () => (await nvReadPublic(real, nvPublic.index))!;
  const wrong = { authorization: bySession(session, { authValue: secret.slice(1) }) };
  await assert.rejects(nvWrite(tpm, await index(), data, wrong), { message: /TPM_RC_AUTH_FAIL for session 1/ });
  const right = { authorization: bySession(session, { authValue: secret }) };
  await nvWrite(tpm, await index(), data, right);
  // Each byte of data, nonce, attributes and HMAC.
  const length = 10 + 4 + 2 + data.length + 2 + 32 + 1 + 2 + 32;
  for (const offset of [16, 16 + data.length - 1, length - 67, length - 35, length - 1]) {
    const another = await startSession(tpm, { kind: "hmac" });
    const authorization = bySession(another, { authValue: secret });
    const written = await index();
    alter((response) => {
      if (response.length === length) response[offset]! ^= 1;
    });
    await assert.rejects(nvRead(tpm, written, { authorization }), { code: "tpm-malformed" }, `byte ${offset}`);
    alter(() => {});
    await flushContext(tpm, another.handle);
  }
  assert.deepEqual(await nvRead(tpm, await index(), right), data);
});

test("cut and altered responses of a session are malformed, nothing else", async (t) => {
  const tpm = await testTpm(t);
  const session = await startSession(tpm, { kind: "hmac" });
  const parameters = new WireWriter().u16(16).done();
  const command = {
    name: "GetRandom",
    authorizations: [bySession(session, { encryptResponse: true })],
    parameters,
  } as const;
  const prepared = prepareCommand(command);
  const response = await tpm.send(prepared.bytes);
  refusesTruncation(response, (bytes) => readResponse(command, prepared, bytes).parameters.sized(16));
  survivesMutation(response, (bytes) => {
    try {
      readResponse(command, prepared, bytes).parameters.sized(16);
    } catch (error) {
      // An altered header may also say that the TPM refused.
      if (errorCode(error) !== "tpm-error") throw error;
    }
  });
});

test("a session serves one command at a time", async (t) => {
  const tpm = await testTpm(t);
  const session = await startSession(tpm, { kind: "hmac" });
  const parent = await createPrimary(tpm, TPM_RH_OWNER, storageTemplate("ecc-p256"));
  const making = () =>
    create(tpm, { parent, template: attestationTemplate("ecc-p256"), authorization: bySession(session) });
  const [first, second] = await Promise.allSettled([making(), making()]);
  assert.deepEqual([first.status, second.status], ["fulfilled", "rejected"]);
  await making();
});

test("policies: the endorsement hierarchy's, PCRs, the command, and the authorisation value; tpm2-tools compute the same", async (t) => {
  const tpm = await testTpm(t);
  const trial = await startSession(tpm, { kind: "trial" });
  await policySecret(tpm, trial, TPM_RH_ENDORSEMENT);
  // As every EK template has it.
  assert.equal(toHex(await policyGetDigest(tpm, trial)), toHex(ekTemplate("ecc-p256").slice(10, 42)));
  await flushContext(tpm, trial.handle);

  const pcrs = { bank: "sha256", pcrs: [13] } as const;
  const planned = await startSession(tpm, { kind: "trial" });
  await policyPcr(tpm, planned, pcrs);
  const file = join(await testFolder(t), "policy");
  await run("tpm2_createpolicy", ["-T", tctiOf(tpm.address), "--policy-pcr", "-l", "sha256:13", "-L", file]);
  assert.equal((await readFile(file)).toString("hex"), toHex(await policyGetDigest(tpm, planned)));
  await policyCommandCode(tpm, planned, "NV_Read");
  await policyAuthValue(tpm, planned);
  const authPolicy = await policyGetDigest(tpm, planned);
  await flushContext(tpm, planned.handle);

  const attributes = TPMA_NV.policyRead | TPMA_NV.authWrite;
  await nvDefine(tpm, { ...nvPublic, authPolicy, attributes }, secret);
  await nvWrite(tpm, (await nvReadPublic(tpm, nvPublic.index))!, data, { authorization: password(secret) });
  const index = (await nvReadPublic(tpm, nvPublic.index))!;
  const reading = async (authValue: Uint8Array) => {
    const session = await startSession(tpm, { kind: "policy" });
    try {
      await policyPcr(tpm, session, pcrs);
      await policyCommandCode(tpm, session, "NV_Read");
      await policyAuthValue(tpm, session);
      return await nvRead(tpm, index, { authorization: bySession(session, { authValue, encryptResponse: true }) });
    } finally {
      await flushContext(tpm, session.handle);
    }
  };
  assert.deepEqual(await reading(secret), data);
  await assert.rejects(reading(new Uint8Array(3)), { code: "tpm-error", message: /TPM2_NV_Read: TPM_RC_AUTH_FAIL/ });
  await pcrExtend(tpm, "sha256", 13, new Uint8Array(32));
  await assert.rejects(reading(secret), { code: "tpm-error", message: /TPM_RC_POLICY_FAIL/ });
});

test("a session is saved outside of the TPM and goes on", async (t) => {
  const tpm = await testTpm(t);
  const session = await startSession(tpm, { kind: "hmac" });
  const context = await contextSave(tpm, session.handle);
  assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.loadedSession), []);
  assert.equal(await contextLoad(tpm, context), session.handle);
  const parent = await createPrimary(tpm, TPM_RH_OWNER, storageTemplate("ecc-p256"));
  await create(tpm, { parent, template: attestationTemplate("ecc-p256"), authorization: bySession(session) });
});

test("an object by its number alone cannot be authorised by a session", async (t) => {
  const tpm = await testTpm(t);
  const session = await startSession(tpm, { kind: "hmac" });
  const parameters = new WireWriter().u16(0).u16(0).done();
  const command = { name: "Create", handles: [0x80000000], authorizations: [bySession(session)], parameters } as const;
  await assert.rejects(execute(tpm, command), /needs the Name/);
  assert.equal(session.busy, false);
});

test("the key derivation of SP 800-108, computed elsewhere", () => {
  // Python: hmac.new(bytes(range(32)), b"\0\0\0\1ATH\0" + b"\1"*16 + b"\2"*16 + b"\0\0\1\0", "sha256")
  const key = Uint8Array.from({ length: 32 }, (_, value) => value);
  const contexts = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)] as const;
  assert.equal(
    toHex(kdfa("sha256", key, "ATH", contexts, 256)),
    "3ebbbc6a56e0cce9b3cac004ef1dd9ab7989cebce76447be0249a9b007f0f588",
  );
  assert.equal(kdfa("sha256", key, "CFB", contexts, 384).length, 48);
});
