import assert from "node:assert/strict";
import { test } from "node:test";
import { judgePlatform, platformPolicySchema } from "./judge-platform.ts";
import type { FirmwareState, ImaState, PlatformState } from "./platform-state.ts";
import { Releases } from "./release-manifest.ts";
import { MANIFEST } from "./testing-platform.ts";

const VALUE = "11".repeat(32);
const OTHER = "22".repeat(32);
const step = {
  pcr: 4,
  type: "EV_EFI_BOOT_SERVICES_APPLICATION",
  digest: VALUE,
  text: "image \\shim.efi",
  bound: false,
};
const firmware: FirmwareState = { problem: null, secureBoot: "on", steps: [step], more: 0, disagree: [] };
const ima: ImaState = {
  count: 9,
  value: VALUE,
  padded: false,
  releases: "",
  violations: 0,
  agentFiles: 3,
  runtimeFiles: 1,
  deviations: [],
};
const state: PlatformState = {
  boot: { resetCount: 1, restartCount: 0 },
  pcrs: Array.from({ length: 10 }, () => VALUE),
  own: VALUE,
  firmware,
  ima,
};

function verdict(fields: Partial<PlatformState> | null, policy: object = {}, hasReleases = true) {
  const parsed = platformPolicySchema.parse(policy);
  const { links, reasons } = judgePlatform(fields && { ...state, ...fields }, parsed, { hasReleases });
  return [links.map(({ state: found }) => found).join(" "), reasons.map(({ reason }) => reason).join(" ")];
}
const ALL = "proved proved proved proved";

test("each demand on the boot has a case in which only it fails", () => {
  assert.deepEqual(verdict({}, { boot: { pcrs: [{ pcr: 4, allow: [OTHER, VALUE] }] } }), [ALL, ""]);
  assert.deepEqual(verdict({}, { boot: { pcrs: [{ pcr: 4, allow: [OTHER] }] } }), [ALL, "boot-untrusted"]);
  assert.deepEqual(verdict({}, { boot: { events: [{ pcr: 4, allow: [VALUE] }] } }), [ALL, ""]);
  assert.deepEqual(verdict({}, { boot: { events: [{ pcr: 4, allow: [OTHER] }] } }), [ALL, "boot-untrusted"]);
  assert.deepEqual(verdict({}, { boot: { secureBoot: true } }), [ALL, ""]);
  for (const secureBoot of ["off", "unknown"] as const)
    assert.deepEqual(verdict({ firmware: { ...firmware, secureBoot } }, { boot: { secureBoot: true } }), [
      ALL,
      "boot-untrusted",
    ]);
  const cut = { firmware: { ...firmware, more: 1 } };
  assert.deepEqual(verdict(cut, { boot: { events: [{ pcr: 4, allow: [VALUE] }] } }), [ALL, "boot-untrusted"]);
});

test("a link that is missing condemns only where it is required, or something is demanded of it", () => {
  const missing = { firmware: { ...firmware, problem: "there is none", steps: [], secureBoot: "unknown" as const } };
  assert.deepEqual(verdict(missing), ["missing proved proved proved", ""]);
  assert.deepEqual(verdict(missing, { require: ["boot"] })[1], "boot-untrusted");
  assert.deepEqual(verdict(missing, { boot: { events: [{ pcr: 4, allow: [VALUE] }] } })[1], "boot-untrusted");
  assert.deepEqual(verdict(missing, { boot: { secureBoot: true } })[1], "boot-untrusted");
  assert.deepEqual(verdict(missing, { boot: { pcrs: [{ pcr: 4, allow: [VALUE] }] } })[1], "");
  assert.deepEqual(verdict({ ima: null }), ["proved missing missing missing", ""]);
  assert.deepEqual(verdict({ ima: null }, { require: ["files"] })[1], "boot-untrusted");
  assert.deepEqual(verdict({ ima: null }, { require: ["agent"] })[1], "agent-modified");
  assert.deepEqual(verdict({ ima: null }, { require: ["runtime"] })[1], "runtime-modified");
  assert.deepEqual(verdict({}, {}, false), ["proved proved missing missing", ""]);
  const zero = { pcrs: state.pcrs.map(() => "00".repeat(32)), firmware: null };
  assert.deepEqual(verdict(zero), ["missing proved proved proved", ""]);
  assert.deepEqual(verdict(null), ["missing missing missing missing", ""]);
  assert.deepEqual(verdict({ ima: { ...ima, agentFiles: 0 } }), ["proved proved missing proved", ""]);
  assert.deepEqual(verdict({ ima: { ...ima, runtimeFiles: 0 } }), ["proved proved proved missing", ""]);
});

test("a file that is not the release's is its part's, whatever is wrong with it", () => {
  for (const [part, links] of [
    ["agent", "proved proved broken proved"],
    ["runtime", "proved proved proved broken"],
  ] as const)
    for (const [digest, listed] of [
      [`sha256 ${VALUE}`, true],
      [`sha256 ${VALUE}`, false],
      [null, true],
    ] as const)
      assert.deepEqual(verdict({ ima: { ...ima, deviations: [{ part, path: "/x", digest, listed, cgroup: null }] } }), [
        links,
        `${part}-modified`,
      ]);
});

test("which paths are a release's", () => {
  const [main] = MANIFEST.agent.files;
  const releases = new Releases([
    MANIFEST,
    { ...MANIFEST, agent: { folders: [], files: [{ ...main!, sha256: OTHER }] } },
  ]);
  assert.equal(releases.at(main!.path)?.digests.size, 2);
  assert.equal(releases.at("/opt/pims/new.ts")?.digests.size, 0);
  assert.equal(releases.at("/usr/sbin/runc")?.part, "runtime");
  for (const path of ["/opt/pims2/x", "/opt/pims", "/opt/pims/.git/index", "/opt/pims/.cache/x", "/usr/bin/other"])
    assert.equal(releases.at(path), undefined, path);
  assert.equal(releases.at("/opt/pims/src/.git/x")?.part, "agent");
});
