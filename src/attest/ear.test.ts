import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { importJWK, jwtVerify, SignJWT } from "jose";
import type { Reason } from "../log/finding.ts";
import { EAR_PROFILE, earOf, parseEar, type Tier } from "./ear.ts";
import { jwkOf, keyOfJwk, signJwt, verifyJwt } from "./jwt.ts";
import type { ContainerReport, HostReport } from "./report.ts";
import { containerOf, TIME } from "./sample-events.ts";

const NONCE = "ab".repeat(32);

function containerReport(name: string, fields: Partial<ContainerReport> = {}): ContainerReport {
  return {
    container: containerOf(name),
    imageName: null,
    status: "trusted",
    reasons: [],
    findings: [],
    startedAt: TIME,
    stoppedAt: null,
    actions: [],
    gate: null,
    ...fields,
  };
}

function finding(reason: Reason): ContainerReport["findings"][number] {
  const object = { path: "/x", dev: "0:1", ino: "1", digest: null };
  return { reason, pid: 1, startTime: "1", comm: "x", exe: "/x", container: null, object, pages: [], text: "" };
}

function hostReport(fields: Partial<HostReport> = {}): HostReport {
  return {
    ...{ host: "node1", evidence: "good", reason: null, text: "", acceptedAt: TIME, notice: null, records: 3 },
    tpm: { ekName: "000b11", certified: { manufacturer: "id:1", model: "m", version: "v" } },
    ...{ longestUnprovedMs: null, lastSweep: null, links: null, containers: [] },
    boots: { known: 1, told: 0, unloggedResets: 0, resumes: 0, last: [] },
    ...fields,
  };
}

const FACTS = {
  issuedAtMs: 1_700_000_000_999,
  policyId: "urn:pims:policy:sha256:00",
  nonce: NONCE,
  host: { attestationKey: "000b22", evidence: null, bundle: null },
  baselines: new Map(),
};

test("verdicts and the reasons for them become tiers and claims, and the worst is that of all", () => {
  const containers: [ContainerReport, Tier, Record<string, number>][] = [
    [containerReport("good"), "affirming", { executables: 2 }],
    [
      containerReport("code", { status: "untrusted", findings: [finding("unknown-executable")] }),
      "contraindicated",
      { executables: 96 },
    ],
    [
      containerReport("config", { status: "untrusted", findings: [finding("container-config")] }),
      "contraindicated",
      { configuration: 96 },
    ],
    [
      containerReport("both", {
        status: "untrusted",
        findings: [finding("code-modified"), finding("unexpected-listener")],
      }),
      "contraindicated",
      { executables: 96, configuration: 96 },
    ],
    [containerReport("old", { status: "stale" }), "warning", { executables: -33 }],
    [containerReport("new", { status: "unknown" }), "none", { executables: 0 }],
    [
      containerReport("half", { status: "unknown", reasons: [{ reason: "coverage-incomplete", text: "" }] }),
      "none",
      { executables: 1 },
    ],
  ];
  for (const [report, status, vector] of containers) {
    const ear = earOf(hostReport({ containers: [report] }), FACTS);
    const submod = ear.submods[`docker:${report.container.id}`]!;
    assert.deepEqual([submod.ear_status, submod.ear_trustworthiness_vector], [status, vector], report.container.name);
    assert.equal(ear.ear_status, status);
    assert.equal(submod.eat_nonce, Buffer.from(NONCE, "hex").toString("base64"));
  }
  const hosts: [Partial<HostReport>, Tier, Record<string, number>][] = [
    [{}, "affirming", { "instance-identity": 2, hardware: 2 }],
    [{ tpm: null }, "affirming", { "instance-identity": 2 }],
    [{ links: [] }, "affirming", { "instance-identity": 2, hardware: 2, executables: 3 }],
    [{ links: [{ link: "boot", state: "missing", text: "" }] }, "affirming", { "instance-identity": 2, hardware: 2 }],
    [{ evidence: "none" }, "none", { "instance-identity": 0 }],
    [{ evidence: "stale" }, "warning", { "instance-identity": -33 }],
    [{ evidence: "refused", reason: "quote-invalid" }, "contraindicated", { "instance-identity": 99 }],
    [{ evidence: "refused", reason: "host-cloned" }, "contraindicated", { "instance-identity": 96 }],
    [{ evidence: "refused", reason: "agent-modified" }, "contraindicated", { "instance-identity": 2, executables: 96 }],
    [{ evidence: "refused", reason: "host-rebooted" }, "contraindicated", { "instance-identity": 0 }],
  ];
  for (const [fields, status, vector] of hosts) {
    const ear = earOf(hostReport({ ...fields, containers: [containerReport("good")] }), FACTS);
    assert.deepEqual([ear.submods.host!.ear_status, ear.submods.host!.ear_trustworthiness_vector], [status, vector]);
    assert.equal(ear.ear_status, status);
  }
  const stopped = earOf(hostReport({ containers: [containerReport("gone", { stoppedAt: TIME })] }), FACTS);
  assert.deepEqual(Object.keys(stopped.submods), ["host"]);
  assert.deepEqual([stopped.eat_profile, stopped.iat], [EAR_PROFILE, 1_700_000_000]);
});

test("what one of us signs another library verifies, and the reverse; nothing else is accepted", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [jwk, stranger] = [jwkOf(publicKey), generateKeyPairSync("ec", { namedCurve: "P-256" })];
  const ear = earOf(hostReport({ containers: [containerReport("web")] }), FACTS);
  const token = signJwt(ear, privateKey);
  const { payload, protectedHeader } = await jwtVerify(token, await importJWK(jwk, "ES256"), { typ: "eat+jwt" });
  assert.deepEqual(payload, JSON.parse(JSON.stringify(ear)));
  assert.equal(protectedHeader.kid?.length, 43);

  const made = (header: Record<string, string>, key = privateKey) =>
    new SignJWT({ ...ear }).setProtectedHeader({ alg: "ES256", typ: "eat+jwt", kid: "x", ...header }).sign(key);
  assert.deepEqual(verifyJwt(await made({}), keyOfJwk(jwk)), payload);
  const [head, body, signature] = token.split(".") as [string, string, string];
  const none = `${Buffer.from('{"alg":"none","typ":"eat+jwt","kid":"x"}').toString("base64url")}.${body}.`;
  const bad: Record<string, string> = {
    empty: "",
    "two parts": `${head}.${body}`,
    "four parts": `${token}.`,
    "no signature": `${head}.${body}.`,
    none,
    "other claims": `${head}.${Buffer.from("{}").toString("base64url")}.${signature}`,
    "another text of the signature": `${token}=`,
    "another key": await made({}, stranger.privateKey),
    "another type": await made({ typ: "JWT" }),
  };
  for (const [name, one] of Object.entries(bad))
    assert.throws(() => verifyJwt(one, keyOfJwk(jwk)), { code: "results-invalid" }, name);
  // 43 characters have two bits more than 32 bytes.
  const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".indexOf(jwk.x.at(-1)!);
  const spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]!;
  for (const x of [jwk.x.slice(0, -1) + spare, jwk.y])
    assert.throws(() => keyOfJwk({ ...jwk, x }), { code: "results-invalid" });
  for (let at = 0; at < token.length; at++) {
    const other = token[at] === "A" ? "B" : "A";
    assert.throws(() => verifyJwt(token.slice(0, at) + other + token.slice(at + 1), keyOfJwk(jwk)), {
      code: "results-invalid",
    });
  }
});

test("results are read when they have the form, and are no better as a whole than in their parts", () => {
  const ear = earOf(
    hostReport({ containers: [containerReport("web"), containerReport("old", { status: "stale" })] }),
    FACTS,
  );
  const read = parseEar(JSON.parse(JSON.stringify(ear)));
  assert.deepEqual([read.status, read.containers.size, read.host.ear_status], ["warning", 2, "affirming"]);
  const { host, ...others } = ear.submods;
  const wrong: unknown[] = [
    null,
    {},
    { ...ear, eat_profile: "tag:ietf.org,2026:rats/ear#03" },
    { ...ear, iat: 1.5 },
    { ...ear, submods: others },
    { ...ear, submods: { ...ear.submods, x: {} } },
    { ...ear, ear_status: "affirming" },
    { ...ear, submods: { ...ear.submods, host: { ...host, ear_trustworthiness_vector: { hardware: 200 } } } },
  ];
  for (const claims of wrong) assert.throws(() => parseEar(claims), { code: "results-invalid" });
});
