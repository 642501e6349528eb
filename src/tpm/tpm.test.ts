import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { concatBytes, toHex } from "../core/bytes.ts";
import { tctiOf } from "./address.ts";
import { createAk } from "./attestation-key.ts";
import { flushContext } from "./commands/context.ts";
import { createPrimary } from "./commands/create-primary.ts";
import { getHandles } from "./commands/get-capability.ts";
import { getRandom } from "./commands/get-random.ts";
import { pcrExtend } from "./commands/pcr-extend.ts";
import { pcrRead } from "./commands/pcr-read.ts";
import { quote } from "./commands/quote.ts";
import { readPublic } from "./commands/read-public.ts";
import { startup } from "./commands/startup.ts";
import { FIRST_HANDLE } from "./constants.ts";
import { extendAll, testFolder, testTpm } from "./fixtures.ts";
import { tpmInfo } from "./info.ts";
import { pcrDigestOf } from "./pcr-digest.ts";
import { isRestrictedSigningKey } from "./public.ts";
import { publicKeyPem } from "./public-key.ts";
import { verifyQuote } from "./quote-verification.ts";
import { openTpm } from "./tpm.ts";

const run = promisify(execFile);
const ALL = Array.from({ length: 24 }, (_, pcr) => pcr);
const digestOf = (text: string): Uint8Array => new Uint8Array(createHash("sha256").update(text).digest());

test("extend, read, quote, verify", async (t) => {
  const tpm = await testTpm(t);
  await startup(tpm);
  let expected: Uint8Array = new Uint8Array(32);
  for (const text of ["one", "two", "three"]) {
    await pcrExtend(tpm, "sha256", 13, digestOf(text));
    expected = new Uint8Array(
      createHash("sha256")
        .update(concatBytes(expected, digestOf(text)))
        .digest(),
    );
  }
  assert.equal(toHex((await pcrRead(tpm, "sha256", [13])).get(13)!), toHex(expected));

  const ak = await createAk(tpm);
  assert.ok(isRestrictedSigningKey(ak.publicArea));
  assert.deepEqual((await readPublic(tpm, ak.handle)).publicArea, ak.publicArea);
  const nonce = await getRandom(tpm, 32);
  const evidence = { publicArea: ak.publicArea, nonce, pcrs: [13] };
  const quoted = await quote(tpm, { keyHandle: ak.handle, nonce, pcrs: [13] });
  const proved = verifyQuote({ ...evidence, ...quoted });
  assert.equal(toHex(proved.pcrDigest), toHex(pcrDigestOf([expected])));
  // Plain, since the key is of the endorsement hierarchy.
  assert.equal(proved.firmwareVersion, (await tpmInfo(tpm)).firmwareVersion);
  assert.deepEqual([proved.resetCount, proved.restartCount], [1, 0]);
  assert.equal(toHex(proved.qualifiedSigner), toHex((await readPublic(tpm, ak.handle)).qualifiedName));

  for (const part of ["attest", "signature"] as const)
    for (let offset = 0; offset < quoted[part].length; offset++) {
      const bytes = quoted[part].slice();
      bytes[offset]! ^= 1 << (offset & 7);
      const altered = { ...evidence, ...quoted, [part]: bytes };
      assert.throws(() => verifyQuote(altered), { code: "quote-invalid" }, `byte ${offset} of ${part}`);
    }
});

test("the PCRs are those that tpm2_pcrread reads", async (t) => {
  const tpm = await testTpm(t);
  for (const pcr of [0, 7, 13, 16, 23]) await pcrExtend(tpm, "sha256", pcr, digestOf(`${pcr}`));
  const ours = [...(await pcrRead(tpm, "sha256", ALL))].map(([pcr, value]) => [pcr, toHex(value)]);
  assert.equal(ours.length, 24);
  const { stdout } = await run("tpm2_pcrread", ["-T", tctiOf(tpm.address), "sha256"]);
  const theirs = [...stdout.matchAll(/^\s*(\d+)\s*: 0x([0-9A-F]{64})$/gm)].map(([, pcr, value]) => [
    Number(pcr),
    value!.toLowerCase(),
  ]);
  assert.deepEqual(ours, theirs);
});

test("what is read in several parts is of one instant", async (t) => {
  const tpm = await testTpm(t);
  const digest = new Uint8Array(32).fill(1);
  const chain = [toHex(new Uint8Array(32))];
  for (let value: Uint8Array = new Uint8Array(32); chain.length < 1000; chain.push(toHex(value))) {
    value = extendAll([digest], value);
  }
  // One in the first part, one in the last, always in this order.
  let over = false;
  const writer = (async () => {
    while (!over) {
      for (const pcr of [1, 23]) await pcrExtend(tpm, "sha256", pcr, digest);
      await sleep(Math.random() * 4);
    }
  })();
  const reader = await openTpm(tpm.address);
  try {
    for (let round = 0; round < 100; round++) {
      const values = await pcrRead(reader, "sha256", ALL);
      const [first, last] = [1, 23].map((pcr) => chain.indexOf(toHex(values.get(pcr)!)));
      assert.ok(last! >= 0 && (first === last || first === last! + 1), `${first} and ${last} extends`);
    }
  } finally {
    over = true;
    await writer;
    await reader.close();
  }
});

test("tpm2_checkquote accepts our quote, and refuses it with another nonce", async (t) => {
  const tpm = await testTpm(t);
  const folder = await testFolder(t);
  await pcrExtend(tpm, "sha256", 13, digestOf("measured"));
  const ak = await createAk(tpm);
  const nonce = await getRandom(tpm, 20);
  const { attest, signature } = await quote(tpm, { keyHandle: ak.handle, nonce, pcrs: [13] });
  const file = (name: string): string => join(folder, name);
  await writeFile(file("ak.pem"), publicKeyPem(ak.publicArea));
  await writeFile(file("attest"), attest);
  await writeFile(file("signature"), signature);
  const check = (qualification: Uint8Array) =>
    run("tpm2_checkquote", [
      ...["-u", file("ak.pem"), "-m", file("attest"), "-s", file("signature")],
      ...["-g", "sha256", "-q", toHex(qualification)],
    ]);
  await check(nonce);
  await assert.rejects(check(new Uint8Array(20)), { stderr: /nonce/i });
  const { stdout } = await run("tpm2_print", ["-t", "TPMS_ATTEST", file("attest")]);
  assert.match(stdout, new RegExp(`extraData: ${toHex(nonce)}`));
});

test("the key is the same each time, takes one slot, and is made anew after a flush", async (t) => {
  const tpm = await testTpm(t);
  const first = await createAk(tpm);
  const second = await createAk(tpm);
  assert.deepEqual(second, first);
  assert.equal((await getHandles(tpm, FIRST_HANDLE.transient)).length, 1);
  await flushContext(tpm, first.handle);
  assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.transient), []);
  const stale = { keyHandle: first.handle, nonce: new Uint8Array(8), pcrs: [13] };
  await assert.rejects(quote(tpm, stale), { code: "tpm-error", message: /TPM2_Quote: TPM_RC_REFERENCE_H0, the first/ });
  assert.deepEqual((await createAk(tpm)).name, first.name);
});

test("another key with the same template is not taken for ours", async (t) => {
  const tpm = await testTpm(t);
  const ours = await createAk(tpm);
  await flushContext(tpm, ours.handle);
  // The same template under the owner hierarchy.
  const template = ours.publicArea.slice(0, ours.publicArea.length - 68);
  const other = await createPrimary(tpm, 0x40000001, concatBytes(template, new Uint8Array(4)));
  assert.deepEqual(other.publicArea.subarray(0, template.length), template);
  assert.deepEqual((await createAk(tpm)).name, ours.name);
});

test("the TPM's refusals say command, code and meaning", async (t) => {
  const tpm = await testTpm(t);
  const ak = await createAk(tpm);
  const refused = (message: RegExp) => ({ code: "tpm-error", message });
  const long = { keyHandle: ak.handle, nonce: new Uint8Array(80), pcrs: [13] };
  await assert.rejects(quote(tpm, long), refused(/^TPM2_Quote: TPM_RC_SIZE for parameter 1, /));
  await assert.rejects(pcrExtend(tpm, "sha256", 99, new Uint8Array(32)), refused(/TPM_RC_VALUE for handle 1/));
  // PCR 17 can only be extended by a dynamic launch.
  await assert.rejects(pcrExtend(tpm, "sha256", 17, new Uint8Array(32)), refused(/TPM_RC_LOCALITY/));
  const broken = concatBytes(ak.publicArea.subarray(0, 4), new Uint8Array(16));
  await assert.rejects(
    createPrimary(tpm, 0x4000000b, broken),
    refused(/TPM2_CreatePrimary: TPM_RC_\w+ for parameter 2/),
  );
  await assert.rejects(pcrExtend(tpm, "sha256", 13, new Uint8Array(20)), { code: "tpm-malformed" });
  await assert.rejects(pcrRead(tpm, "sha256", [24]), { code: "tpm-malformed" });
});

test("what the TPM says about itself", async (t) => {
  const tpm = await testTpm(t);
  const info = await tpmInfo(tpm);
  assert.equal(info.family, "2.0");
  assert.equal(info.manufacturer, "IBM");
  assert.match(info.revision, /^1\.\d\d$/);
  assert.deepEqual(info.banks.find(({ bank }) => bank === "sha256")?.pcrs, ALL);
  assert.ok(info.hashes.includes("sha256"));
  assert.ok(info.firmwareVersion > 0n);
  assert.deepEqual([info.transientHandles, info.persistentHandles], [[], []]);
  const { stdout } = await run("tpm2_getcap", ["-T", tctiOf(tpm.address), "properties-fixed"]);
  const firmware = [...stdout.matchAll(/FIRMWARE_VERSION_\d:\s+raw: 0x([0-9A-F]+)/g)].map(([, hex]) =>
    BigInt(`0x${hex}`),
  );
  assert.equal(info.firmwareVersion, (firmware[0]! << 32n) | firmware[1]!);
});

test("random numbers in any length", async (t) => {
  const tpm = await testTpm(t);
  for (const length of [0, 1, 32, 64, 65, 300]) assert.equal((await getRandom(tpm, length)).length, length);
  assert.notDeepEqual(await getRandom(tpm, 32), await getRandom(tpm, 32));
});

test("an address that is none, and a TPM that is not there", async (t) => {
  const folder = await testFolder(t);
  for (const address of ["", "tcp:1", "unix:", "device:"])
    await assert.rejects(openTpm(address), { code: "tpm-unreachable", hint: /device:PATH/ }, address);
  await assert.rejects(openTpm(`unix:${folder}/none`), { code: "tpm-unreachable", message: /ENOENT/, hint: /swtpm/ });
  await assert.rejects(openTpm(`device:${folder}/none`), { code: "tpm-unreachable", message: /no TPM at/ });
  assert.equal(tctiOf("device"), "device:/dev/tpmrm0");
});
