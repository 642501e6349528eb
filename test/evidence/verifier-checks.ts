// Each check that the verifier makes of who gives evidence, when, and to which nonce.
import { join } from "node:path";
import type { Evidence } from "../../src/attest/evidence.ts";
import { codeEvent, containerOf, startEvent, stopEvent, sweepEvent } from "../../src/attest/sample-events.ts";
import { type Ending, TestHost, temporaryFolder } from "../../src/attest/testing.ts";
import { createPrimary } from "../../src/tpm/commands/create-primary.ts";
import { TPM_RH_ENDORSEMENT } from "../../src/tpm/constants.ts";
import { softwareKey } from "../../src/tpm/fixtures.ts";
import { attestationTemplate } from "../../src/tpm/templates.ts";
import { buildApi } from "../../src/verifier/api.ts";
import { Bench, listed, STALE_MS, TPM, web } from "../../src/verifier/testing.ts";
import { type Check, type Outcome, outcomeOf } from "./check.ts";

const NONCE_MS = 60_000;
const OPEN_NONCES = 16;
const NOT_OPEN = ["nonce-mismatch", /answers a nonce that is not open/] as const;

export async function verifierChecks(t: Ending): Promise<Check[]> {
  const host = await TestHost.start(t);
  const folder = await temporaryFolder(t);
  let benches = 0;
  /** A verifier that knows this host, and takes its container for trusted. */
  const enrolled = async (): Promise<Bench> => {
    const bench = new Bench(join(folder, `${benches++}.sqlite`));
    t.after(async () => bench.store.close());
    bench.verifier.enroll("node1", host.akPublic, TPM);
    await bench.attest(host, startEvent(web), codeEvent(web, listed));
    // What the log tells of earlier attempts is behind it then.
    await bench.attest(host);
    return bench;
  };
  const check = (
    name: string,
    [reason, text]: readonly [string, RegExp],
    work: (bench: Bench, isWrong: boolean) => Outcome | Promise<Outcome>,
  ): Check => ({
    ...{ name: `verifier: ${name}`, reason, text },
    attempt: async (isWrong) => work(await enrolled(), isWrong),
  });
  const standing = async (bench: Bench): Promise<Outcome> => {
    const { evidence, reason, text, containers } = await bench.verifier.reportHost("node1");
    const doubtful = containers.find(({ status, stoppedAt }) => stoppedAt === null && status !== "trusted");
    if (evidence === "good" && doubtful === undefined) return { accepted: true };
    const [first] = doubtful?.reasons ?? [];
    return { accepted: false, reason: reason ?? first!.reason, text: text || first!.text };
  };
  const appraise = (bench: Bench, evidence: Evidence) => bench.verifier.appraise("node1", evidence);
  const key = async (template: Uint8Array) => (await createPrimary(host.tpm, TPM_RH_ENDORSEMENT, template)).publicArea;
  const [long, rsa] = [await key(attestationTemplate("ecc-p384")), await key(attestationTemplate("rsa-2048"))];
  const open = softwareKey({ attributes: 0 }).publicArea;

  return [
    check("a nonce of one's own", NOT_OPEN, async (bench, isWrong) => {
      const { nonce, from } = bench.verifier.nonce("node1");
      return appraise(bench, await host.answer(isWrong ? "5a".repeat(32) : nonce, from));
    }),
    check("a nonce that is too old", NOT_OPEN, async (bench, isWrong) => {
      const evidence = await bench.evidence(host);
      bench.clock.pass(NONCE_MS + Number(isWrong));
      return appraise(bench, evidence);
    }),
    check("a nonce of another host", NOT_OPEN, async (bench, isWrong) => {
      bench.verifier.enroll("node2", host.akPublic, TPM);
      const { nonce } = bench.verifier.nonce(isWrong ? "node2" : "node1");
      return appraise(bench, await host.answer(nonce, bench.verifier.nonce("node1").from));
    }),
    check("a nonce that refused evidence has used up", NOT_OPEN, async (bench, isWrong) => {
      const evidence = await bench.evidence(host);
      if (isWrong) await appraise(bench, { ...evidence, records: [] });
      return appraise(bench, evidence);
    }),
    check("a nonce before one that was answered", NOT_OPEN, async (bench, isWrong) => {
      const [older, newer] = [await bench.evidence(host), await bench.evidence(host)];
      if (isWrong) await appraise(bench, newer);
      return appraise(bench, older);
    }),
    check("a nonce that later ones have pushed out", NOT_OPEN, async (bench, isWrong) => {
      const evidence = await bench.evidence(host);
      for (let later = Number(!isWrong); later < OPEN_NONCES; later++) bench.verifier.nonce("node1");
      return appraise(bench, evidence);
    }),
    ...(["host-revoked", "host-cloned"] as const).map((reason) =>
      check(`${reason} between nonce and evidence`, [reason, /^somebody said so$/], async (bench, isWrong) => {
        const evidence = await bench.evidence(host);
        if (isWrong) bench.verifier.refuseTpm("node1", reason, "somebody said so");
        return appraise(bench, evidence);
      }),
    ),
    check(
      "revoked before it asks for a nonce",
      ["host-revoked", /no evidence of node1 is taken: somebody/],
      (bench, isWrong) => {
        if (isWrong) bench.verifier.refuseTpm("node1", "host-revoked", "somebody said so");
        return outcomeOf(() => bench.verifier.nonce("node1"));
      },
    ),
    check(
      "silent for too long",
      ["coverage-stale", /no evidence of the host for more than 60 s/],
      async (bench, isWrong) => {
        bench.clock.pass(STALE_MS + Number(isWrong));
        return standing(bench);
      },
    ),
    check(
      "the verifier's clock was set back",
      ["coverage-stale", /no evidence of the host for more than/],
      async (bench, isWrong) => {
        bench.clock.wall -= STALE_MS + Number(isWrong);
        return standing(bench);
      },
    ),
    check(
      "a sweeper that stood still",
      ["coverage-stale", /no sweep of the host ended for 30.0 s/],
      async (bench, isWrong) => {
        const longestPauseMs = 30_000 + Number(isWrong);
        await bench.attest(host, sweepEvent({ nonce: "77", longestPauseMs }));
        return standing(bench);
      },
    ),
    check(
      "a sweeper that has not come back since",
      ["coverage-stale", /was not swept since its last evidence/],
      async (bench, isWrong) => {
        const { nonce, from } = bench.verifier.nonce("node1");
        await host.append(sweepEvent({ nonce, sweeps: Number(!isWrong) }));
        await appraise(bench, await host.collect(nonce, from));
        return standing(bench);
      },
    ),
    check("refused evidence since", ["pcr-mismatch", /does not lead to the quoted PCR/], async (bench, isWrong) => {
      const evidence = await bench.evidence(host);
      await appraise(bench, isWrong ? { ...evidence, records: [] } : evidence);
      return standing(bench);
    }),
    check(
      "a container whose image nobody tells",
      ["no-baseline", /does not say which image it was made of/],
      async (bench, isWrong) => {
        const odd = { ...containerOf("odd"), image: isWrong ? null : web.image };
        await bench.attest(host, startEvent(odd));
        const found = await standing(bench);
        await bench.attest(host, stopEvent(odd));
        return found;
      },
    ),
    check("another host's token", ["not-authorized", /does not show the host's token/], async (bench, isWrong) => {
      const tokens = ["node1", "node2"].map((name) => bench.verifier.enroll(name, host.akPublic, TPM));
      const app = buildApi(bench.verifier, bench.enrollment());
      const headers = { authorization: `Bearer ${tokens[Number(isWrong)]}` };
      const payload = await bench.evidence(host);
      const answer = await app.inject({ method: "POST", url: "/v1/hosts/node1/evidence", headers, payload });
      await app.close();
      const { accepted, error, text } = answer.json() as Record<string, string>;
      return accepted ? { accepted: true } : { accepted: false, reason: error!, text: text! };
    }),
    check("a host that nobody enrolled", ["host-unknown", /no host "node2" is enrolled/], (bench, isWrong) =>
      outcomeOf(() => bench.verifier.nonce(isWrong ? "node2" : "node1")),
    ),
    check("what is no host's name", ["host-invalid", /1 to 63 letters/], (bench, isWrong) =>
      outcomeOf(() => bench.verifier.enroll(isWrong ? "no de" : "node2", host.akPublic, TPM)),
    ),
    ...(
      [
        ["a key that signs anything", "quote-invalid", /not a restricted signing key/, open],
        ["a key by another hash", "quote-invalid", /does not sign with SHA-256/, long],
        ["a key that is no point of its curve", "tpm-malformed", /are not a public key/, attestationPoint()],
      ] as const
    ).map(([name, reason, text, area]) =>
      check(name, [reason, text], (bench, isWrong) =>
        outcomeOf(() => bench.verifier.enroll("node2", isWrong ? area : host.akPublic, TPM)),
      ),
    ),
    check(
      "another key under the host's name",
      ["tpm-changed", /node1 is enrolled with another attestation key/],
      (bench, isWrong) => outcomeOf(() => bench.verifier.enroll("node1", isWrong ? rsa : host.akPublic, TPM)),
    ),
    check(
      "its note of another key",
      ["tpm-changed", /its TPM showed another attestation key/],
      async (bench, isWrong) => {
        await outcomeOf(() => bench.verifier.enroll("node1", isWrong ? rsa : host.akPublic, TPM));
        return standing(bench);
      },
    ),
    check(
      "another TPM under the host's name",
      ["tpm-changed", /node1 is enrolled with another TPM/],
      (bench, isWrong) =>
        outcomeOf(() => bench.verifier.enroll("node1", host.akPublic, isWrong ? { ...TPM, ekName: "000b" } : TPM)),
    ),
    check("its note of another TPM", ["tpm-changed", /another TPM was shown/], async (bench, isWrong) => {
      await outcomeOf(() => bench.verifier.enroll("node1", host.akPublic, isWrong ? { ...TPM, ekName: "000b" } : TPM));
      return standing(bench);
    }),
    check(
      "records ahead that do not follow",
      ["records-refused", /the records start at \d+ instead of \d+/],
      (bench, isWrong) =>
        outcomeOf(() => bench.verifier.stage("node1", bench.verifier.nonce("node1").from - Number(isWrong), ["x"])),
    ),
    check(
      "more records ahead than are kept",
      ["records-too-many", /more records are not proved yet than/],
      (bench, isWrong) => {
        const { from } = bench.verifier.nonce("node1");
        const megabyte = "x".repeat(1 << 20);
        const records = Array.from({ length: 255 + Number(isWrong) }, () => megabyte);
        return outcomeOf(() => bench.verifier.stage("node1", from, records));
      },
    ),
  ];
}

/** A key whose point is all zeros. */
function attestationPoint(): Uint8Array {
  return attestationTemplate("ecc-p256");
}
