// Each check of who may be enrolled, with real TPMs of one maker, of none, and of a maker whom nobody knows.
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { EnrollRequest } from "../../src/attest/enrollment.ts";
import { type Ending, TestHost, temporaryFolder } from "../../src/attest/testing.ts";
import { toHex } from "../../src/core/bytes.ts";
import { readRoots } from "../../src/tpm/certificate/roots.ts";
import { createPrimary } from "../../src/tpm/commands/create-primary.ts";
import { TPM_RH_ENDORSEMENT } from "../../src/tpm/constants.ts";
import { setUpSwtpm } from "../../src/tpm/swtpm-setup.ts";
import { storageTemplate } from "../../src/tpm/templates.ts";
import type { Enrollment } from "../../src/verifier/enrollment.ts";
import { Bench, invitationOf, JOIN } from "../../src/verifier/testing.ts";
import { type Check, type Outcome, outcomeOf } from "./check.ts";

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
const CHALLENGE_MS = 5 * 60_000;
const INVITATION_MS = 60 * 60_000;

async function shownBy(host: TestHost, name: string): Promise<EnrollRequest> {
  const { publicArea, certificate } = await host.showEk();
  const ekCertificate = certificate && base64(certificate);
  return { host: name, akPublic: base64(host.akPublic), ekPublic: base64(publicArea), ekCertificate };
}

async function answerOf(enrollment: Enrollment, host: TestHost, shown: EnrollRequest, token: string) {
  const { challenge, idObject, encryptedSecret } = enrollment.challenge(token, shown);
  const blob = { idObject: bytesOf(idObject), encryptedSecret: bytesOf(encryptedSecret) };
  return { challenge, secret: toHex(await host.openCredential(blob)) };
}

export async function enrollmentChecks(t: Ending): Promise<Check[]> {
  const folder = await temporaryFolder(t);
  const ca = join(folder, "ca");
  const certified = await TestHost.start(t, (tpm) => setUpSwtpm(tpm, ["--create-ek-cert"], ca));
  const [plain, other] = [await TestHost.start(t), await TestHost.start(t)];
  await mkdir(join(folder, "roots"));
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"])
    await cp(join(ca, name), join(folder, "roots", name));
  const roots = await readRoots(join(folder, "roots"));
  const storage = base64((await createPrimary(plain.tpm, TPM_RH_ENDORSEMENT, storageTemplate("ecc-p256"))).publicArea);

  let benches = 0;
  const check = (
    name: string,
    reason: string,
    text: RegExp,
    work: (bench: Bench, isWrong: boolean) => Promise<Outcome>,
  ): Check => ({
    ...{ name: `enrollment: ${name}`, reason, text },
    async attempt(isWrong) {
      const bench = new Bench(join(folder, `${benches++}.sqlite`));
      t.after(async () => bench.store.close());
      // Certificates go by the machine's clock.
      bench.clock.wall = Date.now() + 60_000;
      return work(bench, isWrong);
    },
  });
  /** Both steps, as an honest host takes them, but for what is changed. */
  const come = async (
    enrollment: Enrollment,
    host: TestHost,
    change: Partial<EnrollRequest> = {},
    token = JOIN,
  ): Promise<Outcome> => {
    const shown = { ...(await shownBy(host, "node1")), ...change };
    return outcomeOf(async () =>
      enrollment.activate(token, shown.host, await answerOf(enrollment, host, shown, token)),
    );
  };
  /** An answer to a credential, given to somebody else, too late, or wrong. */
  const credential = (
    name: string,
    give: (enrollment: Enrollment, answer: { challenge: string; secret: string }, bench: Bench) => unknown,
  ) =>
    check(name, "credential-invalid", /was not opened by the TPM that it was made for/, async (bench, isWrong) => {
      const enrollment = bench.enrollment();
      const answer = await answerOf(enrollment, plain, await shownBy(plain, "node1"), JOIN);
      return outcomeOf(() => (isWrong ? give(enrollment, answer, bench) : enrollment.activate(JOIN, "node1", answer)));
    });
  const strict = (bench: Bench, known = roots) => bench.enrollment({ roots: known, uncertified: false });

  return [
    check(
      "an invitation of another host",
      "not-authorized",
      /does not open the enrollment of node1/,
      async (bench, isWrong) => {
        const enrollment = strict(bench);
        const { token } = enrollment.invite(invitationOf(isWrong ? "node2" : "node1"));
        return come(enrollment, plain, {}, token);
      },
    ),
    check("an invitation that is too old", "not-authorized", /does not open the enrollment/, async (bench, isWrong) => {
      const enrollment = strict(bench);
      const { token } = enrollment.invite(invitationOf("node1"));
      bench.clock.pass(INVITATION_MS + Number(isWrong));
      return come(enrollment, plain, {}, token);
    }),
    check("an invitation that was used", "not-authorized", /does not open the enrollment/, async (bench, isWrong) => {
      const enrollment = strict(bench);
      const { token } = enrollment.invite(invitationOf("node1"));
      if (isWrong) await come(enrollment, plain, {}, token);
      return come(enrollment, plain, {}, token);
    }),
    check(
      "an endorsement key of another template",
      "ek-untrusted",
      /is not of TCG's template/,
      async (bench, isWrong) => come(bench.enrollment(), plain, isWrong ? { ekPublic: storage } : {}),
    ),
    check(
      "no certificate, and none is needed",
      "tpm-uncertified",
      /holds no certificate of its maker/,
      async (bench, isWrong) => come(bench.enrollment({ uncertified: !isWrong }), plain),
    ),
    check(
      "no certificate, and one is needed",
      "tpm-uncertified",
      /holds no certificate of its maker/,
      async (bench, isWrong) => come(strict(bench), certified, isWrong ? { ekCertificate: null } : {}),
    ),
    check(
      "a maker whom nobody knows",
      "tpm-uncertified",
      /does not vouch|no root|not known|issuer/,
      async (bench, isWrong) => come(strict(bench, isWrong ? [] : roots), certified),
    ),
    check("another TPM's certificate", "tpm-uncertified", /it is of another key/, async (bench, isWrong) => {
      const { ekCertificate } = await shownBy(certified, "node1");
      return come(strict(bench), isWrong ? plain : certified, { ekCertificate });
    }),
    check("a host that was revoked", "host-revoked", /^node1 was revoked$/, async (bench, isWrong) => {
      const enrollment = bench.enrollment();
      await come(enrollment, plain);
      if (isWrong) bench.verifier.refuseTpm("node1", "host-revoked", "it was stolen");
      return come(enrollment, plain);
    }),
    check("a revoked TPM under another name", "host-revoked", /^node1 was revoked$/, async (bench, isWrong) => {
      const enrollment = bench.enrollment();
      await come(enrollment, plain);
      bench.verifier.refuseTpm("node1", "host-revoked", "it was stolen");
      return come(enrollment, isWrong ? plain : other, { host: "node2" });
    }),
    check("one TPM under two names", "host-cloned", /the TPM of node2 is that of node1/, async (bench, isWrong) => {
      const enrollment = bench.enrollment();
      await come(enrollment, plain);
      return come(enrollment, isWrong ? plain : other, { host: "node2" });
    }),
    check("the first of the two names", "host-cloned", /was also shown by node2/, async (bench, isWrong) => {
      const enrollment = bench.enrollment();
      await come(enrollment, plain);
      await come(enrollment, isWrong ? plain : other, { host: "node2" });
      const { reason, text } = await bench.verifier.reportHost("node1");
      return reason === null ? { accepted: true } : { accepted: false, reason, text };
    }),
    check("another TPM under one name", "tpm-changed", /node1 is enrolled with another TPM/, async (bench, isWrong) => {
      const enrollment = bench.enrollment();
      await come(enrollment, plain);
      return come(enrollment, isWrong ? other : plain);
    }),
    credential("a credential that nobody made", (enrollment, { secret }) =>
      enrollment.activate(JOIN, "node1", { challenge: "00".repeat(16), secret }),
    ),
    credential("a credential that was not opened", (enrollment, { challenge }) =>
      enrollment.activate(JOIN, "node1", { challenge, secret: "00".repeat(32) }),
    ),
    credential("a credential with nothing in it", (enrollment) =>
      enrollment.activate(JOIN, "node1", { challenge: "", secret: "" }),
    ),
    credential("a credential of another host", (enrollment, answer) => enrollment.activate(JOIN, "node2", answer)),
    credential("a credential of another token", (enrollment, answer) =>
      enrollment.activate(enrollment.invite(invitationOf("node1")).token, "node1", answer),
    ),
    credential("a credential that is too old", (enrollment, answer, bench) => {
      bench.clock.pass(CHALLENGE_MS + 1);
      return enrollment.activate(JOIN, "node1", answer);
    }),
    credential("a credential that was opened already", (enrollment, answer) => {
      enrollment.activate(JOIN, "node1", answer);
      return enrollment.activate(JOIN, "node1", answer);
    }),
  ];
}
