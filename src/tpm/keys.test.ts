import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { toHex } from "../core/bytes.ts";
import { tctiOf } from "./address.ts";
import { parseCertifyAttest, parseNvAttest } from "./attest.ts";
import { certify } from "./commands/certify.ts";
import { contextLoad, contextSave, flushContext, parseContext } from "./commands/context.ts";
import { create } from "./commands/create.ts";
import { createPrimary } from "./commands/create-primary.ts";
import { evictControl } from "./commands/evict-control.ts";
import { getCommands, getCurves, getHandles } from "./commands/get-capability.ts";
import { load } from "./commands/load.ts";
import { pcrExtendBanks } from "./commands/pcr-extend.ts";
import { pcrRead } from "./commands/pcr-read.ts";
import { quote } from "./commands/quote.ts";
import { readPublic } from "./commands/read-public.ts";
import { FIRST_HANDLE, TPM_CC, TPM_RH_ENDORSEMENT, TPM_RH_OWNER } from "./constants.ts";
import { refusesTruncation, survivesMutation, testFolder, testTpm } from "./fixtures.ts";
import { parsePublic, unwrapPublic } from "./public.ts";
import { publicKeyOf, publicKeyPem } from "./public-key.ts";
import { verifyQuote } from "./quote-verification.ts";
import { parseSignature } from "./signature.ts";
import { verifySignature } from "./signature-verification.ts";
import { attestationTemplate, type KeyKind, storageTemplate } from "./templates.ts";

const run = promisify(execFile);
const KINDS: readonly KeyKind[] = ["ecc-p256", "ecc-p384", "rsa-2048"];
const nonce = new Uint8Array(20).fill(5);

test("keys of each kind: created, loaded, quoting and certified; tpm2-tools agree", async (t) => {
  const tpm = await testTpm(t);
  const folder = await testFolder(t);
  const file = (name: string): string => join(folder, name);
  const tools = (name: string, ...args: string[]) => run(name, ["-T", tctiOf(tpm.address), ...args]);
  for (const kind of KINDS) {
    const parent = await createPrimary(tpm, TPM_RH_OWNER, storageTemplate(kind === "rsa-2048" ? kind : "ecc-p256"));
    const created = await create(tpm, { parent, template: attestationTemplate(kind) });
    const key = await load(tpm, parent, created);
    const quoted = await quote(tpm, { keyHandle: key.handle, nonce, pcrs: [13] });
    verifyQuote({ ...quoted, publicArea: key.publicArea, nonce, pcrs: [13] });

    const certified = await certify(tpm, { object: parent, signer: key, nonce });
    verifySignature(parsePublic(key.publicArea), certified.attest, parseSignature(certified.signature));
    const attest = parseCertifyAttest(certified.attest);
    assert.equal(toHex(attest.name), toHex(parent.name));
    assert.equal(toHex(attest.qualifiedName), toHex((await readPublic(tpm, parent.handle)).qualifiedName));
    assert.equal(toHex(attest.extraData), toHex(nonce));

    await writeFile(file("key.pem"), publicKeyPem(key.publicArea));
    await writeFile(file("attest"), quoted.attest);
    await writeFile(file("signature"), quoted.signature);
    const hash = kind === "ecc-p384" ? "sha384" : "sha256";
    await run("tpm2_checkquote", [
      "-u",
      file("key.pem"),
      "-m",
      file("attest"),
      "-s",
      file("signature"),
      "-g",
      hash,
      "-q",
      toHex(nonce),
    ]);
    const { stdout } = await tools("tpm2_readpublic", "-c", `0x${key.handle.toString(16)}`, "-n", file("name"));
    assert.match(stdout, /^name: /m);
    assert.equal(toHex(new Uint8Array(await readFile(file("name")))), toHex(key.name));
    for (const { handle } of [key, parent]) await flushContext(tpm, handle);
  }
});

test("keys that tpm2-tools made are loaded, and quotes that they made are verified", async (t) => {
  const tpm = await testTpm(t);
  const folder = await testFolder(t);
  const file = (name: string): string => join(folder, name);
  const read = async (name: string) => new Uint8Array(await readFile(file(name)));
  const tools = (name: string, ...args: string[]) => run(name, ["-T", tctiOf(tpm.address), ...args]);
  await tools(
    "tpm2_createprimary",
    "-C",
    "o",
    "-G",
    "ecc256",
    "-c",
    file("parent.ctx"),
    "-f",
    "pem",
    "-o",
    file("p.pem"),
  );
  const attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
  for (const [algorithm, type, hash] of [
    ["rsa2048:rsassa:null", "rsa", "sha256"],
    ["ecc384:ecdsa-sha384:null", "ecc", "sha384"],
  ] as const) {
    await tools(
      "tpm2_create",
      ...["-C", file("parent.ctx"), "-G", algorithm, "-a", attributes, "-u", file("key.pub"), "-r", file("key.priv")],
    );
    const publicArea = unwrapPublic(await read("key.pub"));
    assert.equal(parsePublic(publicArea).key.type, type);
    await tools("tpm2_flushcontext", "-t");
    const parent = await createPrimary(tpm, TPM_RH_OWNER, toolsPrimary);
    const key = await load(tpm, parent, { publicArea, privateArea: (await read("key.priv")).subarray(2) });
    for (const { handle } of [key, parent]) await flushContext(tpm, handle);

    await tools(
      "tpm2_load",
      "-C",
      file("parent.ctx"),
      "-u",
      file("key.pub"),
      "-r",
      file("key.priv"),
      "-c",
      file("key.ctx"),
    );
    await tools(
      "tpm2_quote",
      ...["-c", file("key.ctx"), "-l", "sha256:13", "-g", hash, "-q", toHex(nonce), "-m", file("q"), "-s", file("s")],
    );
    verifyQuote({ publicArea, attest: await read("q"), signature: await read("s"), nonce, pcrs: [13] });
    await tools("tpm2_flushcontext", "-t");
  }
});

/** What `tpm2_createprimary -G ecc256` makes: the same template, so the same key. */
const toolsPrimary = storageTemplate("ecc-p256").with(6, 0x00).with(7, 0x72);

test("a context keeps a key outside of the TPM; eviction keeps it inside", async (t) => {
  const tpm = await testTpm(t);
  const key = await createPrimary(tpm, TPM_RH_ENDORSEMENT, attestationTemplate("ecc-p256"));
  const context = await contextSave(tpm, key.handle);
  await flushContext(tpm, key.handle);
  assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.transient), []);
  const handle = await contextLoad(tpm, context);
  assert.equal(toHex((await readPublic(tpm, handle)).name), toHex(key.name));
  refusesTruncation(context, parseContext);
  survivesMutation(context, parseContext);
  const broken = context.slice();
  broken[40]! ^= 1;
  await assert.rejects(contextLoad(tpm, broken), { code: "tpm-error", message: /TPM2_ContextLoad: TPM_RC_INTEGRITY/ });

  const place = 0x81010005;
  await evictControl(tpm, { ...key, handle }, place);
  assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.persistent), [place]);
  assert.equal(toHex((await readPublic(tpm, place)).name), toHex(key.name));
  await evictControl(tpm, { ...key, handle: place }, place);
  assert.deepEqual(await getHandles(tpm, FIRST_HANDLE.persistent), []);
});

test("several banks at once; one that the TPM lacks is told apart from a broken TPM", async (t) => {
  const tpm = await testTpm(t);
  const digests = { sha256: new Uint8Array(32).fill(1), sha384: new Uint8Array(48).fill(2) } as const;
  await pcrExtendBanks(tpm, 13, new Map([["sha256", digests.sha256] as const, ["sha384", digests.sha384] as const]));
  for (const bank of ["sha256", "sha384"] as const) {
    const { stdout } = await run("tpm2_pcrread", ["-T", tctiOf(tpm.address), `${bank}:13`]);
    const value = toHex((await pcrRead(tpm, bank, [13])).get(13)!);
    assert.match(stdout.toLowerCase(), new RegExp(`0x${value}`));
    assert.notEqual(value, "00".repeat(value.length / 2));
  }
  const key = await createPrimary(tpm, TPM_RH_ENDORSEMENT, attestationTemplate("ecc-p256"));
  const quoted = await quote(tpm, { keyHandle: key.handle, nonce, pcrs: [13], bank: "sha384" });
  verifyQuote({ ...quoted, publicArea: key.publicArea, nonce, pcrs: [13], bank: "sha384" });

  const lacking = await testTpm(t, ["--pcr-banks", "sha256"]);
  await assert.rejects(pcrRead(lacking, "sha384", [13]), { code: "tpm-bank-missing", message: /no PCR 13 of sha384/ });
  assert.equal((await pcrRead(lacking, "sha256", [13])).size, 1);
});

test("which commands and curves there are", async (t) => {
  const tpm = await testTpm(t);
  const commands = await getCommands(tpm);
  for (const [name, code] of Object.entries(TPM_CC)) assert.ok(commands.has(code), name);
  assert.deepEqual((await getCurves(tpm)).filter((curve) => curve > 2).slice(0, 2), [3, 4]);
});

test("cut and altered certifications are malformed, nothing else", async (t) => {
  const tpm = await testTpm(t);
  const key = await createPrimary(tpm, TPM_RH_ENDORSEMENT, attestationTemplate("ecc-p256"));
  const { attest } = await certify(tpm, { object: key, signer: key, nonce });
  refusesTruncation(attest, parseCertifyAttest);
  survivesMutation(attest, parseCertifyAttest);
  assert.throws(() => parseNvAttest(attest), { code: "tpm-malformed", message: /not a certification of NV/ });
  survivesMutation(key.publicArea, (bytes) => publicKeyOf(parsePublic(bytes)), 5000);
});
