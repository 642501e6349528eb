import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { printable } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import { interpreterSegment, sampleElf } from "../measure/sample-elf.ts";
import { buildFromFolder } from "./build.ts";

const asRoot = process.getuid?.() === 0;

function makeRoot(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "pims-tree-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

/** A root file system of this machine's own files, with everything in it that could lead a reader astray. */
function fillRoot(root: string): void {
  for (const folder of ["usr/bin", "usr/lib", "etc", "empty", "usr/bin-old"])
    mkdirSync(join(root, folder), { recursive: true });
  copyFileSync("/bin/ls", join(root, "usr/bin/ls"));
  linkSync(join(root, "usr/bin/ls"), join(root, "usr/bin/dir"));
  writeFileSync(join(root, "usr/lib/libsample.so"), sampleElf({ seed: 1 }), { mode: 0o644 });
  writeFileSync(
    join(root, "usr/bin/node"),
    sampleElf({
      seed: 2,
      segments: [interpreterSegment, { flags: 5, offset: 0x400n, vaddr: 0x400n, fileSize: 0x123n }],
    }),
  );
  writeFileSync(join(root, "usr/lib/object.o"), sampleElf({ type: 1, segments: [] }));
  writeFileSync(join(root, "usr/lib/broken.so"), sampleElf().subarray(0, 90));
  writeFileSync(join(root, "usr/bin/run me"), "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  writeFileSync(join(root, "usr/bin/data"), "#!/bin/sh\nnot executable\n", { mode: 0o644 });
  writeFileSync(join(root, "usr/lib/module.py"), "pass\n", { mode: 0o644 });
  writeFileSync(join(root, "usr/lib/types.d.ts"), "export {};\n", { mode: 0o644 });
  writeFileSync(join(root, "usr/lib/start"), "exec true\n", { mode: 0o644 });
  writeFileSync(join(root, "etc/ld.so.preload"), "/usr/lib/libsample.so\n");
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/:\n");
  writeFileSync(Buffer.concat([Buffer.from(`${root}/usr/bin/`), Buffer.of(0xff, 0xfe)]), "#!/x", { mode: 0o711 });
  symlinkSync("usr/bin", join(root, "bin"));
  symlinkSync("/etc/passwd", join(root, "etc/absolute"));
  symlinkSync("..", join(root, "etc/up"));
  symlinkSync("loop", join(root, "etc/loop"));
  symlinkSync("/bin/ls", join(root, "usr/bin/outside"));
  execFileSync("mkfifo", ["-m", "600", join(root, "etc/fifo")]);
  if (asRoot) execFileSync("mknod", ["-m", "666", join(root, "etc/null"), "c", "1", "3"]);
}

test("a root file system's programs, libraries and scripts are found, and nothing is followed", async (t) => {
  const root = makeRoot(t);
  fillRoot(root);
  const server = createServer().listen(join(root, "etc/socket"));
  await once(server, "listening");
  t.after(() => server.close());
  const { header, entries } = await buildFromFolder({
    root,
    name: "sample",
    ports: ["tcp/443", "tcp/80"],
    entrypoint: ["/bin/ls", "/usr/lib/start"],
  });
  const entryOf = (path: string) => entries.find((entry) => entry.path === path)!;
  assert.deepEqual(
    entries.map(({ path, kind, segments }) => [printable(path), kind, segments.length]),
    [
      ["/etc/ld.so.preload", "script", 0],
      ["/usr/bin/data", "script", 0],
      ["/usr/bin/dir", "executable", 1],
      ["/usr/bin/ls", "executable", 1],
      ["/usr/bin/node", "executable", 1],
      ["/usr/bin/run me", "script", 0],
      ["hex:2f7573722f62696e2ffffe", "script", 0],
      ["/usr/lib/broken.so", "library", 0],
      ["/usr/lib/libsample.so", "library", 1],
      ["/usr/lib/module.py", "script", 0],
      ["/usr/lib/start", "script", 0],
    ],
  );
  const ls = readFileSync("/bin/ls");
  assert.equal(entryOf("/usr/bin/ls").sha256, sha256Hex(ls));
  assert.equal(entryOf("/usr/bin/ls").size, BigInt(ls.length));
  for (const { offset, size, sha256 } of entryOf("/usr/bin/ls").segments) {
    assert.equal(sha256, sha256Hex(ls.subarray(Number(offset), Number(offset + size))));
  }
  const node = readFileSync(join(root, "usr/bin/node"));
  assert.deepEqual(entryOf("/usr/bin/node").segments, [
    { offset: 0x400n, size: 0x123n, sha256: sha256Hex(node.subarray(0x400, 0x523)) },
  ]);
  assert.deepEqual(header.ports, ["tcp/80", "tcp/443"]);
  assert.deepEqual(header.jit, ["/usr/bin/node"]);
  assert.match(header.architecture, /^[a-z0-9]+$/);
});

// The description in tree-digest.ts, written down once more in another language.
const independent = `
import hashlib, json, os, stat, sys
root = os.fsencode(sys.argv[1]); found = []
def walk(folder):
    for name in os.listdir(root + folder):
        path = folder + b"/" + name; s = os.lstat(root + path); m = s.st_mode
        try: shown = path.decode()
        except UnicodeDecodeError: shown = {"hex": path.hex()}
        line = {"path": shown, "type": None, "mode": "%04o" % stat.S_IMODE(m)}
        if stat.S_ISREG(m):
            data = open(root + path, "rb").read()
            line.update(type="file", size=str(len(data)), sha256=hashlib.sha256(data).hexdigest())
        elif stat.S_ISDIR(m): line["type"] = "directory"; walk(path)
        elif stat.S_ISLNK(m): line.update(type="link", target=os.readlink(root + path).decode())
        elif stat.S_ISFIFO(m): line["type"] = "fifo"
        elif stat.S_ISCHR(m): line.update(type="character-device", device="%d:%d" % (os.major(s.st_rdev), os.minor(s.st_rdev)))
        found.append((path, json.dumps(line, separators=(",", ":"), ensure_ascii=False)))
walk(b"")
h = hashlib.sha256(b'{"format":"pims.tree/v1"}\\n')
for path, line in sorted(found): h.update(line.encode() + b"\\n")
print("sha256:" + h.hexdigest())
`;

test("the tree's digest is what its description says", async (t) => {
  const root = makeRoot(t);
  fillRoot(root);
  const { stdout, error, stderr } = spawnSync("python3", ["-c", independent, root], { encoding: "utf8" });
  if (error !== undefined) return t.skip("python3 is not installed");
  assert.equal((await buildFromFolder({ root, name: "a" })).header.identity, stdout.trim(), stderr);
});

test("the identity changes with what is the image's and with nothing else", async (t) => {
  const [root, copy] = [makeRoot(t), makeRoot(t)];
  fillRoot(root);
  const identity = async (folder: string): Promise<string> =>
    (await buildFromFolder({ root: folder, name: "a" })).header.identity;
  const before = await identity(root);
  execFileSync("cp", ["-dR", "--preserve=mode,links", `${root}/.`, copy]);
  utimesSync(join(copy, "etc/passwd"), 1, 1);
  assert.equal(await identity(copy), before);
  const changes: [string, () => void][] = [
    ["a mode", () => chmodSync(join(copy, "etc/passwd"), 0o600)],
    ["a byte of data", () => writeFileSync(join(copy, "etc/passwd"), "root:x:0:0::/;\n")],
    ["an empty folder gone", () => rmSync(join(copy, "empty"), { recursive: true })],
    [
      "a link's target",
      () => {
        rmSync(join(copy, "etc/up"));
        symlinkSync("../..", join(copy, "etc/up"));
      },
    ],
    ["a fifo gone", () => rmSync(join(copy, "etc/fifo"))],
  ];
  const seen = new Set([before]);
  for (const [name, change] of changes) {
    change();
    const now = await identity(copy);
    assert.ok(!seen.has(now), name);
    seen.add(now);
  }
});

test("what cannot be read is an error that names it", async (t) => {
  const root = makeRoot(t);
  writeFileSync(join(root, "file"), "x");
  const build = (folder: string): Promise<unknown> => buildFromFolder({ root: folder, name: "a" });
  await assert.rejects(build(join(root, "missing")), { code: "image-unreadable", message: /missing does not exist/ });
  await assert.rejects(build(join(root, "file")), { code: "image-unreadable", message: /file is not a folder/ });
  if (!asRoot) return t.diagnostic("not root: who else would be kept from reading?");
  mkdirSync(join(root, "etc/secret"), { recursive: true });
  chmodSync(root, 0o755);
  chmodSync(join(root, "etc/secret"), 0o700);
  const asNobody = async (): Promise<unknown> => {
    process.seteuid!(65_534);
    try {
      return await build(root);
    } finally {
      process.seteuid!(0);
    }
  };
  await assert.rejects(asNobody(), { code: "image-unreadable", message: "/etc/secret may not be read" });
  rmSync(join(root, "etc/secret"), { recursive: true });
  chmodSync(join(root, "file"), 0o600);
  await assert.rejects(asNobody(), { code: "image-unreadable", message: "/file may not be read" });
});

test("what is mounted in a root file system is not taken for a part of it", async (t) => {
  if (!asRoot) return t.skip("needs root");
  const root = makeRoot(t);
  mkdirSync(join(root, "proc"));
  execFileSync("mount", ["-t", "tmpfs", "none", join(root, "proc")]);
  try {
    const building = buildFromFolder({ root, name: "a" });
    await assert.rejects(building, { code: "image-unreadable", message: /mounted at \/proc$/ });
  } finally {
    execFileSync("umount", [join(root, "proc")]);
  }
});

test("a root file system that is too large is refused before it costs anything", async (t) => {
  const root = makeRoot(t);
  writeFileSync(join(root, "sparse"), "");
  truncateSync(join(root, "sparse"), 10 * 1024 ** 3);
  const started = performance.now();
  await assert.rejects(buildFromFolder({ root, name: "a" }), { code: "image-too-large", message: /\/sparse/ });
  assert.ok(performance.now() - started < 1000);
  rmSync(join(root, "sparse"));
  const limited = (limits: object): Promise<unknown> => buildFromFolder({ root, name: "a", limits });
  mkdirSync(join(root, "a/b/c"), { recursive: true });
  await limited({ depth: 3, files: 3 });
  await assert.rejects(limited({ depth: 2 }), { code: "image-too-large" });
  await assert.rejects(limited({ files: 2 }), { code: "image-too-large" });
  writeFileSync(join(root, "a/x"), "12345");
  writeFileSync(join(root, "a/y"), "12345");
  await limited({ totalBytes: 10 });
  await assert.rejects(limited({ totalBytes: 9 }), { code: "image-too-large" });
});

test("a port that is none is refused", async (t) => {
  const root = makeRoot(t);
  for (const port of ["80", "80/tcp", "tcp/0", "tcp/65536", "icmp/1"]) {
    await assert.rejects(buildFromFolder({ root, name: "a", ports: [port] }), { code: "bad-port" });
  }
});
