import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { PimsError } from "../core/errors.ts";
import { inspectRuncContainer, listRuncContainers, parseRuncState } from "./runc.ts";

const mounts = [{ mountPoint: "/sys/fs/cgroup/cpu", root: "/" }];
const image = `sha256:${"5".repeat(64)}`;
const state = {
  id: "web-1",
  init_process_pid: 4711,
  init_process_start: 99,
  config: {
    rootfs: "/b/rootfs",
    labels: [
      "bundle=/b",
      `pims.image=${image}`,
      "pims.image.name=pims-demo/web",
      "pims.image=second",
      "__proto__=x",
      "odd",
      "a=b=c",
    ],
  },
  cgroup_paths: { cpu: "/sys/fs/cgroup/cpu/runc/web-1", pids: "/elsewhere/web-1" },
};

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

async function root(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-runc-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("runc's record says name, image, labels and cgroups", () => {
  const container = parseRuncState(bytes(state), "web-1", mounts);
  assert.deepEqual(
    { ...container, labels: Object.entries(container.labels) },
    {
      runtime: "runc",
      id: "web-1",
      name: "web-1",
      image,
      imageName: "pims-demo/web",
      pid: 4711,
      bundle: "/b",
      rootfs: "/b/rootfs",
      cgroups: ["/runc/web-1"],
      labels: [
        ["bundle", "/b"],
        ["pims.image", image],
        ["pims.image.name", "pims-demo/web"],
        ["__proto__", "x"],
        ["a", "b=c"],
      ],
    },
  );
  const bare = { ...state, config: {}, cgroup_paths: null };
  const { image: none, labels, cgroups } = parseRuncState(bytes(bare), "web-1", mounts);
  assert.deepEqual({ none, labels, cgroups }, { none: null, labels: {}, cgroups: [] });
});

test("a record that is cut, changed or another container's is refused, never half read", () => {
  const whole = bytes(state);
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => parseRuncState(whole.subarray(0, length), "web-1", mounts), { code: "container-state" });
  }
  assert.throws(() => parseRuncState(whole, "web-2", mounts), { code: "container-state" });
  for (const wrong of [
    { id: 1 },
    { id: "a/b" },
    { init_process_pid: -1 },
    { init_process_pid: 1.5 },
    { config: { labels: [1] } },
  ]) {
    assert.throws(() => parseRuncState(bytes({ ...state, ...wrong }), "web-1", mounts), { code: "container-state" });
  }
  const mutation = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }));
  fc.assert(
    fc.property(mutation, ([at, flip]) => {
      const changed = Uint8Array.from(whole, (byte, index) => (index === at ? byte ^ flip : byte));
      try {
        assert.equal(parseRuncState(changed, "web-1", mounts).id, "web-1");
      } catch (error) {
        assert.ok(error instanceof PimsError && error.code === "container-state", String(error));
      }
    }),
  );
});

test("a record that is huge, a link or a pipe does not hold up the others", async (t) => {
  const folder = await root(t);
  for (const id of ["good", "huge", "link", "pipe", "empty"]) await mkdir(join(folder, id));
  await writeFile(join(folder, "good/state.json"), bytes({ ...state, id: "good" }));
  await writeFile(join(folder, "huge/state.json"), "");
  await truncate(join(folder, "huge/state.json"), 1 << 40);
  await symlink("/proc/self/environ", join(folder, "link/state.json"));
  execFileSync("mkfifo", [join(folder, "pipe/state.json")]);
  const { containers, unreadable } = await listRuncContainers({ root: folder });
  assert.deepEqual(
    containers.map(({ id }) => id),
    ["good"],
  );
  assert.deepEqual(unreadable.map(({ id }) => id).sort(), ["huge", "link", "pipe"]);
  await assert.rejects(inspectRuncContainer("empty", { root: folder }), { code: "container-not-found" });
  await assert.rejects(inspectRuncContainer("../good/../good", { root: folder }), { code: "container-not-found" });
  assert.deepEqual(await listRuncContainers({ root: join(folder, "none") }), { containers: [], unreadable: [] });
});
