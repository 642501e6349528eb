import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupMounts, parseCgroupMounts, pathInHierarchy } from "./cgroup-mounts.ts";

const mountinfo = `24 1 0:22 / /proc rw,relatime - proc proc rw
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/freezer rw shared:9 - cgroup cgroup rw,freezer
32 30 0:28 /vm1 /sys/fs/cgroup/unified rw master:1 propagate_from:2 - cgroup2 cgroup2 rw
33 30 0:29 / /sys/fs/cgroup/my\\040pids rw - cgroup cgroup rw,pids
torn line`;

test("a folder of a cgroup mount is named as the kernel names it in /proc/PID/cgroup", () => {
  const mounts = parseCgroupMounts(mountinfo);
  assert.equal(mounts.length, 3);
  assert.equal(pathInHierarchy(mounts, "/sys/fs/cgroup/freezer/runc/a"), "/runc/a");
  assert.equal(pathInHierarchy(mounts, "/sys/fs/cgroup/freezer"), "/");
  assert.equal(pathInHierarchy(mounts, "/sys/fs/cgroup/unified/runc/a"), "/vm1/runc/a");
  assert.equal(pathInHierarchy(mounts, "/sys/fs/cgroup/my pids/runc/a"), "/runc/a");
  assert.equal(pathInHierarchy(mounts, "/sys/fs/cgroup/freezer2/runc/a"), null);
  assert.equal(pathInHierarchy([{ mountPoint: "/sys/fs/cgroup", root: "/" }], "/sys/fs/cgroup/runc/a"), "/runc/a");
});

test("this machine has a cgroup mount", () => {
  assert.ok(cgroupMounts().some(({ mountPoint }) => mountPoint.startsWith("/sys/fs/cgroup")));
});
