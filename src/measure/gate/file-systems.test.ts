import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMountinfo } from "../../process/mountinfo.ts";
import { hostDevices, mountKinds } from "./file-systems.ts";

const TABLE = parseMountinfo(`20 1 0:40 / / rw - overlay overlay rw
21 20 0:41 / /proc rw - proc proc rw
22 21 0:42 / /proc/keys rw - tmpfs tmpfs rw
23 20 8:1 /srv /data rw - ext4 /dev/sda1 rw
24 20 0:43 / /far rw - fuse.sshfs far rw
25 24 0:44 / /far/near rw - tmpfs tmpfs rw
26 20 0:45 / /net rw - nfs4 server:/ rw
27 27 0:46 / /self rw - overlay overlay rw
`);

test("what may never answer is left alone, and what lies below it", () => {
  assert.deepEqual(
    [...mountKinds(TABLE, [])],
    [
      [20, "local"],
      [21, "empty"],
      [22, "local"],
      [23, "local"],
      [24, "remote"],
      [25, "remote"],
      [26, "remote"],
      [27, "local"],
    ],
  );
});

test("an overlay with a layer that may never answer is left alone", () => {
  const over = (lower: string) =>
    parseMountinfo(`30 30 0:50 / / rw - overlay overlay rw,lowerdir=${lower},upperdir=/u\n`);
  const kindOf = (lower: string) => mountKinds(over(lower), TABLE).get(30);
  assert.equal(kindOf("/a:/data/b"), "local");
  assert.equal(kindOf("/a:/far/b"), "remote");
  assert.equal(kindOf("/a:/far/near/b"), "remote");
  assert.equal(kindOf("/far\\134:/b"), "local");
  assert.equal(kindOf("/farther:net/b"), "local");
  assert.equal(kindOf("/a,datadir+=/net"), "remote");
});

test("the devices of the host's own folders", () => {
  assert.deepEqual([...hostDevices(TABLE)], ["0:40"]);
});
