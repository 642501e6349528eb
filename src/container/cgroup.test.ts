import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOfProcess, parseCgroup } from "./cgroup.ts";

const id = "0123456789abcdef".repeat(4);
const other = "fedcba9876543210".repeat(4);

test("each runtime's cgroup names are known, of version 1 and 2", () => {
  const cases: [string, string, string][] = [
    [`0::/system.slice/docker-${id}.scope`, "docker", id],
    [`12:pids:/docker/${id}\n0::/`, "docker", id],
    [`0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-${id}.scope`, "containerd", id],
    [`3:cpu:/kubepods/burstable/pod8a1b-22/${id}`, "containerd", id],
    [`0::/machine.slice/libpod-${id}.scope/container`, "podman", id],
    [`0::/kubepods.slice/crio-${id}.scope`, "crio", id],
    ["7:freezer:/runc/web-1", "runc", "web-1"],
    ["0::/system.slice/runc-web-1.scope", "runc", "web-1"],
  ];
  for (const [text, runtime, expected] of cases) assert.deepEqual(parseCgroup(text), { runtime, id: expected }, text);
});

test("a name that a container gives to a group below its own does not count", () => {
  assert.deepEqual(parseCgroup(`0::/docker/${id}/docker/${other}`), { runtime: "docker", id });
  assert.deepEqual(parseCgroup(`0::/system.slice/docker-${id}.scope/docker-${other}.scope`), { runtime: "docker", id });
});

test("a process of the host has no container", () => {
  for (const text of [
    "0::/",
    "",
    "0::/user.slice/user-0.slice/session-1.scope",
    "0::/docker",
    "garbage",
    `0::/x/${id}`,
  ])
    assert.equal(parseCgroup(text), null, text);
  assert.equal(containerOfProcess(0x7fff_ffff), null);
});
