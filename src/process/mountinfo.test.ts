import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { capabilityNames } from "./capabilities.ts";
import { below, parseMountinfo } from "./mountinfo.ts";

const LINES = [
  "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
  "37 35 0:42 / /with\\040space ro,relatime shared:7 master:1 - tmpfs tmpfs rw",
  "38 35 0:43 / / rw - overlay overlay ro,lowerdir=/a:/b",
].join("\n");

test("mounts with and without optional fields, escaped, writable or not", () => {
  assert.deepEqual(parseMountinfo(LINES), [
    {
      id: 36,
      parent: 35,
      device: "98:0",
      root: "/mnt1",
      mountPoint: "/mnt2",
      writable: true,
      type: "ext3",
      options: "rw,errors=continue",
    },
    {
      id: 37,
      parent: 35,
      device: "0:42",
      root: "/",
      mountPoint: "/with space",
      writable: false,
      type: "tmpfs",
      options: "rw",
    },
    {
      id: 38,
      parent: 35,
      device: "0:43",
      root: "/",
      mountPoint: "/",
      writable: false,
      type: "overlay",
      options: "ro,lowerdir=/a:/b",
    },
  ]);
  // Cut anywhere, no line is misread.
  for (let end = 0; end < LINES.length; end++)
    for (const { device, mountPoint } of parseMountinfo(LINES.slice(0, end))) {
      assert.match(device, /^\d+:\d+$/);
      assert.match(mountPoint, /^\//);
    }
  assert.ok(
    parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).some(({ mountPoint }) => mountPoint === "/proc"),
  );
});

test("what lies below a folder", () => {
  assert.equal(below("/", "/"), "");
  assert.equal(below("/", "/run"), "/run");
  assert.equal(below("/run", "/run"), "");
  assert.equal(below("/run", "/run/x"), "/x");
  assert.equal(below("/run", "/runner"), null);
});

test("capabilities by their numbers", () => {
  assert.deepEqual(capabilityNames("0000000000000000"), []);
  assert.deepEqual(capabilityNames("0000000000200001"), ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
  assert.deepEqual(capabilityNames("0000038000000000"), ["CAP_BPF", "CAP_CHECKPOINT_RESTORE", "CAP_41"]);
});
