import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { toHex } from "../core/bytes.ts";
import { tctiOf } from "./address.ts";
import { parseNvAttest } from "./attest.ts";
import { createAk } from "./attestation-key.ts";
import { nvCertify } from "./commands/certify.ts";
import { getHandles } from "./commands/get-capability.ts";
import { nvDefine, nvExtend, nvRead, nvReadPublic, nvUndefine, nvWrite } from "./commands/nv.ts";
import { FIRST_HANDLE, TPM_RH_OWNER, TPMA_NV } from "./constants.ts";
import { extendAll, refusesTruncation, survivesMutation, testFolder, testTpm } from "./fixtures.ts";
import { type NvPublic, parseNvPublic, writeNvPublic } from "./nv-public.ts";
import { parsePublic } from "./public.ts";
import { password } from "./session.ts";
import { parseSignature } from "./signature.ts";
import { verifySignature } from "./signature-verification.ts";
import type { Tpm } from "./tpm.ts";

const run = promisify(execFile);
const ordinary: NvPublic = {
  index: 0x01500001,
  nameAlg: "sha256",
  attributes: TPMA_NV.authRead | TPMA_NV.authWrite | TPMA_NV.ownerRead,
  authPolicy: new Uint8Array(0),
  size: 1700,
};

async function indexOf(tpm: Tpm, index: number) {
  const known = await nvReadPublic(tpm, index);
  assert.ok(known);
  return known;
}

test("an index is defined, written and read in parts, and gone; tpm2_nvread reads the same", async (t) => {
  const tpm = await testTpm(t);
  assert.equal(await nvReadPublic(tpm, ordinary.index), undefined);
  await nvDefine(tpm, ordinary);
  const index = await indexOf(tpm, ordinary.index);
  assert.deepEqual(index.nvPublic, ordinary);
  await assert.rejects(nvRead(tpm, index), { code: "tpm-error", message: /TPM2_NV_Read: TPM_RC_NV_UNINITIALIZED/ });
  const data = Uint8Array.from({ length: ordinary.size }, (_, offset) => offset & 0xff);
  await nvWrite(tpm, index, data);
  assert.deepEqual(await nvRead(tpm, index), data);
  assert.deepEqual(await nvRead(tpm, index, { by: TPM_RH_OWNER }), data);
  const written = join(await testFolder(t), "data");
  await run("tpm2_nvread", ["-T", tctiOf(tpm.address), "-C", "o", "-o", written, "0x1500001"]);
  assert.deepEqual(new Uint8Array(await readFile(written)), data);
  const { stdout } = await run("tpm2_nvreadpublic", ["-T", tctiOf(tpm.address), "0x1500001"]);
  assert.ok(stdout.includes(toHex((await indexOf(tpm, ordinary.index)).name)), stdout);
  assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.nvIndex), [ordinary.index]);
  await nvUndefine(tpm, index);
  assert.equal(await nvReadPublic(tpm, ordinary.index), undefined);
});

test("an index of tpm2_nvdefine is read", async (t) => {
  const tpm = await testTpm(t);
  const tcti = tctiOf(tpm.address);
  await run("tpm2_nvdefine", [
    "-T",
    tcti,
    "-C",
    "o",
    "-s",
    "8",
    "-a",
    "authread|authwrite",
    "-p",
    "secret",
    "0x1500002",
  ]);
  await run("sh", ["-c", `printf 12345678 | tpm2_nvwrite -T '${tcti}' -C 0x1500002 -P secret -i - 0x1500002`]);
  const index = await indexOf(tpm, 0x01500002);
  await assert.rejects(nvRead(tpm, index), { code: "tpm-error", message: /TPM_RC_AUTH_FAIL for session 1/ });
  const authorization = password(new Uint8Array(Buffer.from("secret")));
  assert.equal(Buffer.from(await nvRead(tpm, index, { authorization })).toString(), "12345678");
});

test("an extend index grows as a PCR does, and is certified", async (t) => {
  const tpm = await testTpm(t);
  const extendable = { ...ordinary, index: 0x01500003, size: 32, attributes: ordinary.attributes | TPMA_NV.typeExtend };
  await nvDefine(tpm, extendable);
  const digests = [1, 2, 3].map((value) => new Uint8Array(32).fill(value));
  for (const digest of digests) await nvExtend(tpm, await indexOf(tpm, extendable.index), digest);
  const index = await indexOf(tpm, extendable.index);
  const value = extendAll(digests);
  assert.deepEqual(await nvRead(tpm, index), value);

  const ak = await createAk(tpm);
  const nonce = new Uint8Array(16).fill(3);
  const certified = await nvCertify(tpm, { index, signer: ak, nonce });
  verifySignature(parsePublic(ak.publicArea), certified.attest, parseSignature(certified.signature));
  const attest = parseNvAttest(certified.attest);
  assert.equal(toHex(attest.indexName), toHex(index.name));
  assert.deepEqual([attest.offset, attest.contents, attest.extraData], [0, value, nonce]);
  refusesTruncation(certified.attest, parseNvAttest);
  survivesMutation(certified.attest, parseNvAttest);
});

test("public areas go both ways; cut and altered ones are malformed", () => {
  const bytes = writeNvPublic({ ...ordinary, authPolicy: new Uint8Array(32).fill(1) });
  assert.deepEqual(parseNvPublic(bytes), { ...ordinary, authPolicy: new Uint8Array(32).fill(1) });
  refusesTruncation(bytes, parseNvPublic);
  survivesMutation(bytes, parseNvPublic);
});
