// An operator's way with hosts: the commands, against a verifier that wants makers' certificates, with real TPMs.
import assert from "node:assert/strict";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { enrollHost } from "../src/attest/enroll-host.ts";
import { TestHost } from "../src/attest/testing.ts";
import { setUpSwtpm } from "../src/tpm/swtpm-setup.ts";
import { OPERATOR_TOKEN_FILE, verifierConfigSchema } from "../src/verifier/config.ts";
import { runVerifier } from "../src/verifier/run.ts";
import { pimsMeanwhile, temporaryFolder } from "./pims.ts";

const ledger = { url: "http://127.0.0.1:9", registry: `0x${"11".repeat(20)}` };

async function site(t: TestContext) {
  const folder = temporaryFolder(t);
  const [ca, roots, state] = ["ca", "roots", "state"].map((name) => join(folder, name)) as [string, string, string];
  const certified = await TestHost.start(t, (path) => setUpSwtpm(path, ["--create-ek-cert"], ca));
  mkdirSync(roots);
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]) cpSync(join(ca, name), join(roots, name));
  const config = verifierConfigSchema.parse({ state, ledger, listen: { port: 0 }, enrollment: { roots } });
  const verifier = await runVerifier(config);
  t.after(() => verifier.close());
  const pims = async (...words: string[]) => {
    const deciding = ["enroll", "revoke"].includes(words[1]!)
      ? ["--operator-token", join(state, OPERATOR_TOKEN_FILE)]
      : [];
    const { status, stdout, stderr } = await pimsMeanwhile([...words, ...deciding], {
      PIMS_VERIFIER: verifier.address,
    });
    return { status, stdout, stderr };
  };
  return { address: verifier.address, roots, certified, pims };
}

test("hosts are listed, let in, shown and revoked", async (t) => {
  const { address, roots, certified, pims } = await site(t);
  const none = await pims("host", "list");
  assert.deepEqual([none.status, none.stdout], [3, "no host is enrolled\n"]);
  const invited = async (host: string, ...options: string[]) => {
    const { status, stdout } = await pims("host", "enroll", host, ...options);
    assert.equal(status, 0);
    return (JSON.parse(stdout) as { token: string }).token;
  };
  await enrollHost(address, "good", certified, await invited("good"));
  const plain = await TestHost.start(t);
  await assert.rejects(enrollHost(address, "plain", plain, await invited("plain")), {
    code: "tpm-uncertified",
    message: /holds no certificate.*--uncertified/,
  });
  await enrollHost(address, "plain", plain, await invited("plain", "--uncertified"));

  const listed = await pims("host", "list");
  assert.equal(listed.status, 3, "neither has given evidence yet");
  assert.match(listed.stdout, /^good +none +TPM \S.* swtpm .*certified by its maker/m);
  assert.match(listed.stdout, /^plain +none +TPM without a maker's certificate, taken by decision/m);
  assert.match((await pims("status")).stdout, /taken by decision/);
  assert.match((await pims("host", "show", "good")).stdout, /certified by its maker/);

  const revoked = await pims("host", "revoke", "plain", "--reason", "sold");
  assert.deepEqual([revoked.status, revoked.stdout], [0, "plain is revoked\n"]);
  const after = await pims("host", "list", "--json");
  assert.equal(after.status, 2);
  const { hosts } = JSON.parse(after.stdout) as { hosts: { host: string; reason: string | null; text: string }[] };
  assert.deepEqual(
    hosts.map(({ host, reason, text }) => [host, reason, text]),
    [
      ["good", null, "no evidence of the host for more than 60 s"],
      ["plain", "host-revoked", "sold"],
    ],
  );
  assert.equal((await pims("host", "show", "plain")).status, 2);
  const unknown = await pims("host", "revoke", "nobody", "--reason", "x");
  assert.deepEqual([unknown.status, /no host "nobody"/.test(unknown.stderr)], [1, true]);

  const info = await pims("tpm", "info", "--tpm", certified.tpm.address, "--roots", roots);
  assert.match(info.stdout, /^certificate +its path to a root holds: id:/m);
  const provisioned = await pims("tpm", "provision", "--tpm", certified.tpm.address);
  assert.match(provisioned.stdout, /^the attestation key 000b[0-9a-f]{64} is kept at 0x81010050$/m);
  assert.deepEqual(await pims("tpm", "provision", "--tpm", certified.tpm.address), provisioned);
  await certified.powerOff();
  const before = certified.akPublic;
  await certified.powerOn({ log: false });
  assert.deepEqual(certified.akPublic, before);
});
