import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { NOTHING_PROVED, type Proved } from "../attest/appraise.ts";
import { temporaryFolder } from "../attest/testing.ts";
import { toHex } from "../core/bytes.ts";
import { describeError, PimsError } from "../core/errors.ts";
import { replay } from "../log/replay.ts";
import { Store } from "./store.ts";

const key = Uint8Array.of(1, 2, 3);
const proved: Proved = {
  bootId: "00000000-0000-4000-8000-000000000001",
  length: 2,
  digest: "cd".repeat(32),
  value: "ab".repeat(32),
  tpm: { resetCount: 4_294_967_295, restartCount: 1, clock: 0xffff_ffff_ffff_fffen },
};

/** Accepted evidence that goes on in the same boot. */
function accepted(lines: readonly string[], now: Proved): Parameters<Store["accept"]>[1] {
  return { proved: now, lines, told: [], unloggedResets: 0, resumes: 0, platform: null };
}

function open(t: TestContext, path = ":memory:"): Store {
  const store = Store.open(path);
  t.after(() => store.close());
  return store;
}

const unusable = (path: string) => (error: unknown) => {
  assert.ok(error instanceof PimsError && error.code === "store-unusable", String(error));
  assert.ok(error.message.includes(path) && error.hint !== undefined);
  assert.ok(!describeError(error).includes("\n"));
  return true;
};

test("a host is what it was enrolled as, then what was accepted of it", (t) => {
  const store = open(t);
  assert.equal(store.host("a"), null);
  store.enroll("a", key, "t1");
  assert.deepEqual(store.host("a"), {
    ...{ name: "a", akPublic: key, tokenDigest: "t1", proved: NOTHING_PROVED, acceptedAt: null, refused: null },
  });
  store.refuse("a", "pcr-mismatch", "it does not fit", 5);
  assert.deepEqual(store.host("a")?.refused, { reason: "pcr-mismatch", text: "it does not fit", at: 5 });
  store.accept("a", accepted(["zero", "one"], proved), 1_767_323_045_678);
  const { refused, acceptedAt, ...host } = store.host("a")!;
  assert.deepEqual([refused, acceptedAt, host.proved], [null, 1_767_323_045_678, proved]);
  store.renewToken("a", "t2");
  assert.deepEqual([store.host("a")?.tokenDigest, store.host("a")?.proved], ["t2", proved]);
});

test("records come back in order, from where they are asked for, as many as wanted, and of one host", (t) => {
  const store = open(t);
  for (const host of ["a", "b"]) store.enroll(host, key, "t");
  const lines = Array.from({ length: 20 }, (_, index) => `line ${index} ü \u0000`);
  store.accept("a", accepted(lines.slice(0, 12), { ...proved, length: 12 }), 1);
  store.accept("a", accepted(lines.slice(12), { ...proved, length: 20 }), 1);
  assert.deepEqual(store.log.read("a", 0, 100), lines);
  assert.deepEqual(store.log.read("a", 9, 3), lines.slice(9, 12));
  assert.deepEqual(store.log.read("a", 20, 3), []);
  assert.deepEqual(store.log.read("b", 0, 100), []);
});

test("evidence is taken in whole or not at all", (t) => {
  const store = open(t);
  store.enroll("a", key, "t");
  store.accept("a", accepted(["zero", "one"], proved), 1);
  assert.throws(() => store.accept("a", accepted(["another one", "two"], { ...proved, length: 3 }), 2));
  assert.throws(() => store.accept("a", accepted(["two", null as unknown as string], { ...proved, length: 4 }), 2));
  assert.throws(() => store.accept("nobody", accepted(["zero"], proved), 2));
  assert.deepEqual([store.log.read("a", 0, 9), store.host("a")?.acceptedAt], [["zero", "one"], 1]);
  assert.deepEqual(store.host("a")?.proved, proved);
  store.accept("a", accepted(["two"], { ...proved, length: 3 }), 3);
  assert.equal(store.log.read("a", 0, 9).length, 3);
});

test("evidence is kept with what it proves, and only then", (t) => {
  const store = open(t);
  store.enroll("a", key, "t");
  assert.equal(store.evidence.last("a"), null);
  const evidence = (nonce: string, from: number) => ({ nonce, from, records: [], attest: "AAAA", signature: "BBBB" });
  store.accept("a", accepted(["zero", "one"], proved), 1, evidence("01", 0));
  const first = { nonce: "01", from: 0, attest: "AAAA", signature: "BBBB", acceptedAt: 1, platform: null };
  assert.deepEqual(store.evidence.last("a"), first);
  assert.throws(() => store.accept("a", accepted(["one"], proved), 2, evidence("02", 1)));
  const unwritable = { ...evidence("02", 2), attest: null as unknown as string };
  assert.throws(() => store.accept("a", accepted(["two"], { ...proved, length: 3 }), 2, unwritable));
  assert.deepEqual([store.evidence.last("a"), store.host("a")?.proved.length], [first, 2]);
  store.accept("a", accepted(["two"], { ...proved, length: 3 }), 3, evidence("03", 2));
  assert.deepEqual(store.evidence.last("a"), { ...first, nonce: "03", from: 2, acceptedAt: 3 });
  store.enroll("a", key, "t");
  assert.equal(store.evidence.last("a"), null);
});

test("a host that is enrolled anew has proved nothing and leaves its neighbour alone", (t) => {
  const store = open(t);
  for (const host of ["a", "b"]) {
    store.enroll(host, key, "t");
    store.accept(host, accepted(["zero", "one"], proved), 1);
    store.addVerdicts([{ host, container: "docker:1", time: "t", status: "trusted", reasons: [] }]);
  }
  store.enroll("a", Uint8Array.of(9), "t");
  assert.deepEqual([store.host("a")?.proved, store.log.read("a", 0, 9)], [NOTHING_PROVED, []]);
  assert.equal(store.lastVerdict("a", "docker:1"), null);
  assert.deepEqual([store.log.read("b", 0, 9).length, store.lastVerdict("b", "docker:1")?.status], [2, "trusted"]);
  assert.deepEqual(
    store.hosts().map(({ name }) => name),
    ["a", "b"],
  );
});

test("the last verdict of each container is the one that was added last", (t) => {
  const store = open(t);
  store.enroll("a", key, "t");
  const row = (container: string, status: string, reasons: string[]) => ({
    ...{ host: "a", container, time: "t", status, reasons },
  });
  store.addVerdicts([row("1", "trusted", []), row("2", "unknown", ["no-baseline"])]);
  store.addVerdicts([row("1", "untrusted", ["code-modified", "unknown-library"])]);
  store.enroll("b", key, "t");
  store.addVerdicts([{ ...row("1", "stale", []), host: "b" }]);
  assert.deepEqual(
    ["2", "1"].map((container) => store.lastVerdict("a", container)),
    [row("2", "unknown", ["no-baseline"]), row("1", "untrusted", ["code-modified", "unknown-library"])],
  );
});

test("copies of baselines are kept, replaced and forgotten; only other connections' writes are foreign", async (t) => {
  const path = join(await temporaryFolder(t), "verifier.sqlite");
  const store = open(t, path);
  const other = open(t, path);
  assert.equal(store.baseline("sha256:1"), null);
  const before = store.foreignWrites();
  store.saveBaseline("sha256:1", { root: "aa", lines: ["header", "entry"] });
  store.saveBaseline("sha256:1", { root: "bb", lines: ["header"] });
  assert.deepEqual(store.baseline("sha256:1"), { root: "bb", lines: ["header"] });
  assert.equal(store.foreignWrites(), before);
  other.saveBaseline("sha256:2", { root: "cc", lines: ["x"] });
  assert.notEqual(store.foreignWrites(), before);
  store.forgetBaseline("sha256:1");
  assert.equal(other.baseline("sha256:1"), null);
});

test("what was stored is there when the file is opened again, and nobody else may read it", async (t) => {
  const folder = join(await temporaryFolder(t), "state");
  const path = join(folder, "verifier.sqlite");
  const store = Store.open(path);
  store.enroll("a", key, "t");
  store.accept("a", accepted(["zero", "one"], proved), 7);
  const host = store.host("a");
  store.close();
  const again = open(t, path);
  assert.deepEqual(again.host("a"), host);
  assert.deepEqual(again.log.read("a", 0, 9), ["zero", "one"]);
  assert.equal((await stat(folder)).mode & 0o077, 0);
});

test("a file that is no database, cut off, of a newer version or in no folder is store-unusable", async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, "verifier.sqlite");
  const store = Store.open(path);
  store.enroll("a", key, "t");
  store.close();
  const whole = await readFile(path);

  await writeFile(path, "this is no database, and long enough to be taken for one".repeat(100));
  assert.throws(() => Store.open(path), unusable(path));
  await writeFile(path, whole);
  await truncate(path, 4096);
  assert.throws(() => Store.open(path), unusable(path));
  await writeFile(path, whole.fill(0xff, 100, 4096));
  assert.throws(() => Store.open(path), unusable(path));

  const newer = join(folder, "newer.sqlite");
  const database = new DatabaseSync(newer);
  database.exec("PRAGMA user_version = 3");
  database.close();
  assert.throws(() => Store.open(newer), unusable(newer));
  assert.throws(() => Store.open(folder), unusable(folder));
  assert.throws(() => Store.open(join(path, "below", "a-file")), unusable(path));
});

/** Accepts one record after the other and says each one's number after it was taken in. */
const WRITER = `
const { Store } = await import(process.argv[1]);
const { extendValue } = await import(process.argv[2]);
const store = Store.open(process.argv[3]);
let { length, value, tpm } = store.host("a").proved;
for (;;) {
  value = Buffer.from(extendValue(Buffer.from(value, "hex"), length.toString(16).padStart(64, "0"))).toString("hex");
  const proved = { bootId: null, length: length + 1, digest: null, value, tpm };
  const lines = ["record " + length];
  store.accept("a", { proved, lines, told: [], unloggedResets: 0, resumes: 0, platform: null }, 1);
  length++;
  process.stdout.write(length + "\\n");
}`;

test("killed at any instant, the store holds all that it acknowledged, and records and proof agree", async (t) => {
  const path = join(await temporaryFolder(t), "verifier.sqlite");
  const store = open(t, path);
  store.enroll("a", key, "t");
  const modules = [join(import.meta.dirname, "store.ts"), join(import.meta.dirname, "../log/replay.ts")];
  for (let round = 1; round <= 4; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", WRITER, ...modules, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exit = once(child, "exit");
    t.after(() => child.kill("SIGKILL"));
    const from = store.host("a")!.proved.length;
    let acknowledged = from;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line);
      if (acknowledged >= from + 10 * round) child.kill("SIGKILL");
    }
    assert.deepEqual(await exit, [null, "SIGKILL"]);
    const { length, value } = store.host("a")!.proved;
    assert.ok(length >= acknowledged && acknowledged > from);
    const numbers = Array.from({ length }, (_, index) => index);
    assert.deepEqual(
      store.log.read("a", 0, length + 10),
      numbers.map((index) => `record ${index}`),
    );
    assert.equal(value, toHex(replay(numbers.map((index) => index.toString(16).padStart(64, "0")))));
  }
});

test("the height of each ledger is there after a restart", async (t) => {
  const path = join(await temporaryFolder(t), "verifier.sqlite");
  const first = Store.open(path);
  const height = { number: 2n ** 64n - 1n, hash: `0x${"ab".repeat(32)}` as const };
  assert.equal(first.heights().read("1 0xaa"), null);
  first.heights().write("1 0xaa", { ...height, number: 5n });
  first.heights().write("1 0xaa", height);
  first.close();
  const second = open(t, path);
  const { read } = second.heights();
  assert.deepEqual([read("1 0xaa"), read("2 0xaa")], [height, null]);
});
