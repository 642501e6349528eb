import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { toHex } from "../core/bytes.ts";
import { tctiOf } from "./address.ts";
import { createAk } from "./attestation-key.ts";
import { flushContext } from "./commands/context.ts";
import { createPrimary } from "./commands/create-primary.ts";
import { activateCredential, makeCredentialByTpm } from "./commands/credential.ts";
import { policySecret } from "./commands/policy.ts";
import { readPublic } from "./commands/read-public.ts";
import { startSession } from "./commands/start-session.ts";
import { TPM_RH_ENDORSEMENT } from "./constants.ts";
import { type CredentialBlob, makeCredential, parseCredentialFile, writeCredentialFile } from "./credential.ts";
import { openCredential, withEk } from "./endorsement-key.ts";
import { refusesTruncation, softwareKey, survivesMutation, testFolder, testTpm } from "./fixtures.ts";
import { bySession } from "./session.ts";
import { attestationTemplate, ekTemplate } from "./templates.ts";
import type { Tpm } from "./tpm.ts";
import { WireWriter } from "./wire.ts";

const run = promisify(execFile);
const secret = Uint8Array.from({ length: 32 }, (_, offset) => offset + 1);

async function open(tpm: Tpm, kind: "ecc-p256" | "rsa-2048", blob: CredentialBlob): Promise<Uint8Array> {
  const decrypter = await createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate(kind));
  const session = await startSession(tpm, { kind: "policy" });
  try {
    await policySecret(tpm, session, TPM_RH_ENDORSEMENT);
    const object = await createAk(tpm);
    return await activateCredential(tpm, { object, decrypter, blob, authorization: bySession(session) });
  } finally {
    await flushContext(tpm, session.handle);
    await flushContext(tpm, decrypter.handle);
  }
}

test("a credential opens in the TPM that it was made for, and says nothing elsewhere or for another key", async (t) => {
  const tpm = await testTpm(t);
  const other = await testTpm(t);
  const ak = await createAk(tpm);
  for (const kind of ["rsa-2048", "ecc-p256"] as const) {
    const ek = await createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate(kind));
    const blob = makeCredential(ek.publicArea, ak.name, secret);
    assert.equal(
      toHex(await open(tpm, kind, await makeCredentialByTpm(tpm, ek.handle, secret, ak.name))),
      toHex(secret),
    );
    await flushContext(tpm, ek.handle);
    assert.equal(toHex(await open(tpm, kind, blob)), toHex(secret));
    await assert.rejects(open(other, kind, blob), { code: "tpm-error", message: /TPM2_ActivateCredential: TPM_RC_/ });
    const child = await createPrimary(tpm, TPM_RH_ENDORSEMENT, attestationTemplate("ecc-p384"));
    await flushContext(tpm, child.handle);
    const foreign = makeCredential(ek.publicArea, child.name, secret);
    await assert.rejects(open(tpm, kind, foreign), { code: "tpm-error", message: /TPM_RC_INTEGRITY/ });
    for (const part of ["idObject", "encryptedSecret"] as const) {
      const altered = { ...blob, [part]: blob[part].slice() };
      altered[part][altered[part].length - 1]! ^= 1;
      await assert.rejects(open(tpm, kind, altered), { code: "tpm-error" }, part);
    }
  }
});

test("tpm2_activatecredential opens ours, and we open what tpm2_makecredential made", async (t) => {
  const tpm = await testTpm(t);
  const folder = await testFolder(t);
  const file = (name: string): string => join(folder, name);
  const tools = (name: string, ...args: string[]) => run(name, ["-T", tctiOf(tpm.address), ...args]);
  await writeFile(file("secret"), secret);
  for (const [kind, algorithm] of [
    ["rsa-2048", "rsa"],
    ["ecc-p256", "ecc"],
  ] as const) {
    const ak = await createAk(tpm);
    const ek = await createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate(kind));
    await flushContext(tpm, ek.handle);
    await writeFile(file("ek.pub"), new WireWriter().sized(ek.publicArea).done());
    await tools(
      "tpm2_makecredential",
      "-u",
      file("ek.pub"),
      "-s",
      file("secret"),
      "-n",
      toHex(ak.name),
      "-o",
      file("blob"),
    );
    const theirs = new Uint8Array(await readFile(file("blob")));
    assert.equal(toHex(await open(tpm, kind, parseCredentialFile(theirs))), toHex(secret));
    refusesTruncation(theirs, parseCredentialFile);
    survivesMutation(theirs, parseCredentialFile);

    await writeFile(file("ours"), writeCredentialFile(makeCredential(ek.publicArea, ak.name, secret)));
    await tools("tpm2_createek", "-G", algorithm, "-c", file("ek.ctx"), "-u", file("ek2.pub"));
    assert.deepEqual(await readFile(file("ek2.pub")), await readFile(file("ek.pub")));
    await tools("tpm2_startauthsession", "--policy-session", "-S", file("s"));
    await tools("tpm2_policysecret", "-S", file("s"), "-c", "e");
    await tools(
      "tpm2_activatecredential",
      ...["-c", `0x${ak.handle.toString(16)}`, "-C", file("ek.ctx"), "-i", file("ours")],
      ...["-o", file("opened"), "-P", `session:${file("s")}`],
    );
    await tools("tpm2_flushcontext", file("s"));
    await tools("tpm2_flushcontext", "-t");
    assert.equal(toHex(new Uint8Array(await readFile(file("opened")))), toHex(secret));
  }
});

test("only a storage key takes a credential", () => {
  assert.throws(() => makeCredential(softwareKey().publicArea, new Uint8Array(34), secret), { code: "tpm-malformed" });
  assert.throws(() => makeCredential(new Uint8Array(5), new Uint8Array(34), secret), { code: "tpm-malformed" });
});

test("an endorsement key that another program flushes while it is used is made again", async (t) => {
  const tpm = await testTpm(t);
  const ak = await createAk(tpm);
  const rounds: number[] = [];
  const publicArea = await withEk(tpm, "ecc-p256", async (theirs) => {
    // The other program's key is found and used; then that program is done with it.
    return withEk(tpm, "ecc-p256", async (found) => {
      rounds.push(found.handle);
      if (rounds.length === 1) {
        assert.equal(found.handle, theirs.handle);
        await flushContext(tpm, theirs.handle);
      }
      return (await readPublic(tpm, found.handle)).publicArea;
    }).finally(async () => {
      // What the outer one is to flush.
      await createPrimary(tpm, TPM_RH_ENDORSEMENT, ekTemplate("ecc-p256"));
    });
  });
  assert.equal(rounds.length, 2);
  assert.equal(toHex(publicArea), toHex(await withEk(tpm, "ecc-p256", async (ek) => ek.publicArea)));
  const blob = makeCredential(publicArea, ak.name, secret);
  assert.deepEqual(await openCredential(tpm, "ecc-p256", ak, blob), secret);
  // Another error is nobody's flushing, and nothing is done twice.
  await assert.rejects(
    withEk(tpm, "ecc-p256", async () => {
      rounds.push(0);
      throw new Error("no");
    }),
    /no/,
  );
  assert.equal(rounds.length, 3);
});
