import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import {
  answerExec,
  CLOSE_WRITE,
  type FanotifyEvent,
  ignoreFile,
  markExecs,
  OPEN_EXEC_PERM,
  openFanotify,
  parseFanotifyEvents,
  stopIgnoring,
  stopIgnoringFile,
  unmarkExecs,
} from "./fanotify.ts";

function event(pid: number, fd: number, pidfd: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(32, 0);
  bytes.writeUInt8(3, 4);
  bytes.writeUInt16LE(24, 6);
  bytes.writeBigUInt64LE(OPEN_EXEC_PERM, 8);
  bytes.writeInt32LE(fd, 16);
  bytes.writeInt32LE(pid, 20);
  bytes.writeUInt8(4, 24);
  bytes.writeUInt16LE(8, 26);
  bytes.writeInt32LE(pidfd, 28);
  return bytes;
}

test("events carry file, process and a descriptor of the process", () => {
  const bytes = Buffer.concat([event(7, 20, 21), event(8, 22, -1)]);
  assert.deepEqual(parseFanotifyEvents(bytes), [
    { mask: OPEN_EXEC_PERM, fd: 20, pid: 7, pidfd: 21 },
    { mask: OPEN_EXEC_PERM, fd: 22, pid: 8, pidfd: -1 },
  ]);
  // Records that are not known are stepped over.
  bytes.writeUInt8(9, 24);
  assert.equal(parseFanotifyEvents(bytes)[0]!.pidfd, -1);
});

test("truncated, mutated and random bytes end, with events or with an error", () => {
  const whole = Buffer.concat([event(7, 20, 21), event(8, 22, 23)]);
  for (let end = 0; end <= whole.length; end++)
    if (end % 32 === 0) assert.equal(parseFanotifyEvents(whole.subarray(0, end)).length, end / 32);
    else assert.throws(() => parseFanotifyEvents(whole.subarray(0, end)), { code: "fanotify-malformed" });
  const parse = (bytes: Uint8Array): void => {
    try {
      assert.ok(parseFanotifyEvents(bytes).length <= bytes.length / 24);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "fanotify-malformed");
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 128 }), parse));
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
      const bytes = Uint8Array.from(whole);
      bytes[at] = value;
      parse(bytes);
    }),
  );
});

/** A tmpfs with two programs, and a group that is asked about it and nothing else. */
class Site {
  readonly folder = mkdtempSync(join(tmpdir(), "pims-fanotify-"));
  readonly group = openFanotify();
  readonly first = join(this.folder, "first");
  readonly second = join(this.folder, "second");

  constructor(t: TestContext) {
    execFileSync("mount", ["-t", "tmpfs", "pims-test", this.folder]);
    t.after(() => {
      closeSync(this.group);
      execFileSync("umount", ["--lazy", this.folder]);
      rmSync(this.folder, { recursive: true });
    });
    for (const program of [this.first, this.second]) copyFileSync("/bin/true", program);
    for (const program of [this.first, this.second]) execFileSync("chmod", ["755", program]);
    this.on(this.folder, (fd) => assert.ok(markExecs(this.group, "filesystem", fd)));
  }

  on(path: string, work: (fd: number) => void): void {
    const fd = openSync(path, "r");
    work(fd);
    closeSync(fd);
  }

  /** By a shell of the host: whoever starts a process waits in the kernel until its program is running. */
  run(program: string): ChildProcess {
    return spawn("/bin/sh", ["-c", `${program} 2>/dev/null`], { stdio: "ignore" });
  }

  async next(): Promise<FanotifyEvent> {
    const buffer = Buffer.alloc(4096);
    for (const end = performance.now() + 10_000; performance.now() < end; await sleep(5)) {
      try {
        const events = parseFanotifyEvents(buffer.subarray(0, readSync(this.group, buffer)));
        assert.equal(events.length, 1);
        return events[0]!;
      } catch (error) {
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
      }
    }
    throw new Error("the kernel did not ask");
  }

  async answered(program: string, allow: boolean): Promise<number> {
    const ended = once(this.run(program), "exit");
    const asked = await this.next();
    assert.equal(asked.mask, OPEN_EXEC_PERM);
    assert.deepEqual(readFileSync(`/proc/self/fd/${asked.fd}`), readFileSync("/bin/true"));
    assert.ok(asked.pid > 0 && asked.pidfd >= 0);
    assert.ok(answerExec(this.group, asked.fd, allow));
    assert.ok(!answerExec(this.group, asked.fd, allow), "nobody waits any more");
    closeSync(asked.fd);
    closeSync(asked.pidfd);
    return (await ended)[0] as number;
  }

  async unasked(program: string): Promise<void> {
    assert.equal((await once(this.run(program), "exit"))[0], 0);
    assert.throws(() => readSync(this.group, Buffer.alloc(4096)), { code: "EAGAIN" });
  }
}

test("a program waits for the answer; a file that is ignored does not, until it is written to", async (t) => {
  const site = new Site(t);
  assert.equal(await site.answered(site.first, false), 126);
  assert.equal(await site.answered(site.first, true), 0);
  site.on(site.first, (fd) => assert.ok(ignoreFile(site.group, fd)));
  await site.unasked(site.first);
  assert.equal(await site.answered(site.second, true), 0);

  stopIgnoring(site.group);
  assert.equal(await site.answered(site.first, true), 0);
  site.on(site.first, (fd) => assert.ok(ignoreFile(site.group, fd)));
  site.on(site.first, (fd) => stopIgnoringFile(site.group, fd));
  assert.equal(await site.answered(site.first, true), 0);

  site.on(site.first, (fd) => assert.ok(ignoreFile(site.group, fd)));
  writeFileSync(site.first, readFileSync("/bin/true"), { flag: "r+" });
  const closed = await site.next();
  assert.equal(closed.mask, CLOSE_WRITE);
  closeSync(closed.fd);
  if (closed.pidfd >= 0) closeSync(closed.pidfd);
  assert.equal(await site.answered(site.first, false), 126);

  site.on(site.folder, (fd) => assert.ok(unmarkExecs(site.group, "filesystem", fd)));
  await site.unasked(site.first);
});

test("a mark on one mount does not ask about another mount of the same file system", async (t) => {
  const site = new Site(t);
  site.on(site.folder, (fd) => assert.ok(unmarkExecs(site.group, "filesystem", fd)));
  const other = mkdtempSync(join(tmpdir(), "pims-fanotify-"));
  execFileSync("mount", ["--bind", site.folder, other]);
  t.after(() => {
    execFileSync("umount", ["--lazy", other]);
    rmSync(other, { recursive: true });
  });
  site.on(other, (fd) => assert.ok(markExecs(site.group, "mount", fd)));
  await site.unasked(site.first);
  assert.equal(await site.answered(join(other, "first"), false), 126);
});
