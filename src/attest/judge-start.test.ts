import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsDigest } from "../core/digest.ts";
import { findingSchema } from "../log/finding.ts";
import { type ContainerStart, startSchema } from "../log/start.ts";
import { applyRecords, emptyHostState, findingKey } from "./host-state.ts";
import { judgeStart } from "./judge-start.ts";
import { containerOf, digestOf, startEvent } from "./sample-events.ts";
import type { StartPolicy } from "./start-policy.ts";
import { decide } from "./verdict.ts";

const web = containerOf("web-1");
const reference = {
  hasDigest: (sha256: string) => sha256 === digestOf("/usr/bin/server"),
  hasPath: () => false,
  exposes: () => false,
  mayCompile: () => false,
  mayBeDisplaced: () => false,
  mayPreload: () => false,
  entrypoint: ["/usr/bin/server", "-c", "/etc/server.conf"],
};

type Kernel = NonNullable<ContainerStart["kernel"]>;
type Runtime = NonNullable<ContainerStart["runtime"]>;

/** A container as Docker starts one by default. */
function start(kernel: Partial<Kernel> = {}, runtime: Partial<Runtime> = {}): ContainerStart {
  return startSchema.parse({
    process: { pid: 4711, startTime: "1234", comm: "server", exe: "/usr/bin/server" },
    kernel: {
      capabilities: ["CAP_CHOWN", "CAP_KILL"],
      allCapabilities: false,
      hostNamespaces: ["user", "cgroup"],
      seccomp: "filter",
      label: null,
      user: "0:0",
      readonlyRoot: false,
      mounts: [{ source: "/srv/web", destination: "/run/web", rw: true }],
      mountsLeftOut: 0,
      runtimeSockets: [],
      ...kernel,
    },
    runtime: {
      privileged: false,
      program: "/usr/bin/server",
      entrypoint: { words: 1, digest: wordsDigest(["/usr/bin/server"]) },
      arguments: wordsDigest(["/usr/bin/server"]),
      environment: wordsDigest([]),
      loader: [],
      devices: [],
      ...runtime,
    },
  });
}

function judged(facts: ContainerStart, policy: StartPolicy = [], baseline: typeof reference | null = reference) {
  const findings = judgeStart(web, facts, baseline, policy);
  for (const finding of findings) findingSchema.parse(finding);
  return findings.map(({ object, text }) => `${object.path} ${text}`);
}

const all = ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SYS_MODULE"];
const root = { source: "/", destination: "/host", rw: true };
const socket = { source: "/run/docker.sock", destination: "/var/run/docker.sock", rw: true };
const other = { words: 1, digest: wordsDigest(["/bin/sh"]) };

const cases: readonly [string, Partial<Kernel>, Partial<Runtime>, RegExp, StartPolicy[number]["allow"]][] = [
  [
    "privileged",
    { capabilities: all, allCapabilities: true, seccomp: "none" },
    { privileged: true },
    /^\[privileged\] the container was started privileged; .*"privileged" in policy\.starts$/,
    ["privileged"],
  ],
  [
    "privileged in effect",
    { capabilities: all, allCapabilities: true, seccomp: "none" },
    {},
    /^\[privileged\] .*every capability and no seccomp filter/,
    ["privileged"],
  ],
  [
    "single capabilities",
    { capabilities: all },
    {},
    /^\[capabilities\] .* may use CAP_SYS_ADMIN, CAP_SYS_MODULE;/,
    ["CAP_SYS_ADMIN", "CAP_SYS_MODULE"],
  ],
  [
    "host namespaces",
    { hostNamespaces: ["pid", "net", "user"] },
    {},
    /^\[host-namespaces\] .* process and network namespace; .*"host-pid" and "host-net"/,
    ["host-pid", "host-net"],
  ],
  [
    "the host's root",
    { mounts: [root], runtimeSockets: [socket] },
    {},
    /^\[host-root\] .* writable, at \/host;/,
    ["host-root"],
  ],
  [
    "a runtime's socket",
    { runtimeSockets: [socket] },
    {},
    /^\[runtime-socket\] .*\/run\/docker\.sock of the host, at \/var\/run\/docker\.sock/,
    ["runtime-socket"],
  ],
  [
    "another entry point",
    {},
    { program: "/bin/sh", entrypoint: other },
    /^\[entry-point\] .* started as \/bin\/sh, its image is started as \/usr\/bin\/server;/,
    ["entry-point"],
  ],
  [
    "a loader variable",
    {},
    { loader: [{ name: "LD_PRELOAD", value: "/tmp/x.so", image: false }] },
    /^\[loader-variables\] .*LD_PRELOAD=\/tmp\/x\.so/,
    ["loader-variable"],
  ],
];

for (const [what, kernel, runtime, sentence, allow] of cases)
  test(`${what}: one finding, and none for the containers that may`, () => {
    const facts = start(kernel, runtime);
    const found = judged(facts);
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0]!, sentence);
    assert.deepEqual(judged(facts, [{ containers: ["app", "web-*"], allow }]), []);
    assert.deepEqual(judged(facts, [{ containers: ["app-*"], allow }]), found);
  });

test("what containers usually are started with is no finding", () => {
  assert.deepEqual(judged(start()), []);
  // Another command behind the image's entry point, or a command where the image has no entry point.
  assert.deepEqual(judged(start({}, { arguments: wordsDigest(["/usr/bin/server", "-x"]) })), []);
  assert.deepEqual(judged(start({}, { program: "/bin/sh", entrypoint: { words: 0, digest: wordsDigest([]) } })), []);
  assert.deepEqual(judged(start({}, { entrypoint: other }), [], null), [], "nothing to compare it with");
  const variable = (name: string, image: boolean | null) => start({}, { loader: [{ name, value: "/x", image }] });
  assert.deepEqual(judged(variable("LD_PRELOAD", true)), []);
  assert.deepEqual(judged(variable("LD_LIBRARY_PATH", null)), []);
  assert.equal(judged(variable("LD_LIBRARY_PATH", false)).length, 1);
  assert.equal(judged(variable("LD_AUDIT", null)).length, 1);
  // The host's root to read only, as monitoring has it; and every capability, but over a user namespace of its own.
  assert.deepEqual(judged(start({ mounts: [{ ...root, rw: false }] })), []);
  assert.deepEqual(
    judged(start({ capabilities: all, allCapabilities: true, seccomp: "none", hostNamespaces: [] })),
    [],
  );
});

test("one cause is allowed and another is not", () => {
  const facts = start({ hostNamespaces: ["pid", "net"] });
  const [text] = judged(facts, [{ containers: ["*"], allow: ["host-net"] }]);
  assert.match(text!, /lives in the host's process namespace; if that is meant, allow it "host-pid" in policy/);
});

test("the log's facts make a container untrusted without a baseline, once, whichever process was looked at", () => {
  const state = emptyHostState();
  const say = (pid: number) => {
    const facts = start({}, { privileged: true });
    const event = { ...startEvent(web), start: { ...facts, process: { ...facts.process, pid } } };
    applyRecords(state, [{ recnum: 0, pcr: 13, digest: "00".repeat(32), events: [event] }]);
    const none = { found: false, reason: "no-baseline", text: "" } as const;
    return decide(state, [...state.containers.values()][0]!, none, { standing: "good" });
  };
  const verdict = say(4711);
  assert.equal(verdict.status, "untrusted");
  assert.deepEqual(
    verdict.findings.map(({ reason, pid }) => [reason, pid]),
    [["container-config", 4711]],
  );
  assert.equal(findingKey(say(4712).findings[0]!), findingKey(verdict.findings[0]!));
});
