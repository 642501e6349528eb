import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { printable } from "../core/bytes.ts";
import { buildFromArchive } from "./build.ts";
import { sampleArchive } from "./sample-archive.ts";
import { type SampleEntry, sampleTar } from "./sample-tar.ts";

const RUNS = Number(process.env.PIMS_LAYER_RUNS ?? 40);

/**
 * Layers unpacked as an engine does it: each in a folder of its own, chroot'ed there, whiteouts made overlayfs's; then
 * put over each other by the kernel. Prints for each image what files are there then. It has a mount namespace of its own.
 */
const engine = `
import hashlib, json, os, shutil, stat, sys, tarfile
base = sys.argv[1]
os.system("mount -t tmpfs none " + base + "/space")
def mkdirs(path):
    if not os.path.isdir(path): os.makedirs(path)
def unpack(tar, root):
    os.chroot(root); os.chdir("/")
    for entry in tar:
        path = os.path.normpath("/" + entry.name); folder, name = os.path.split(path)
        if path == "/": continue
        mkdirs(folder)
        if name == ".wh..wh..opq": os.setxattr(folder, "trusted.overlay.opaque", b"y"); continue
        if name.startswith(".wh."): os.mknod(os.path.join(folder, name[4:]), stat.S_IFCHR, 0); continue
        if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path) and entry.isdir()):
            if os.path.isdir(path) and not os.path.islink(path): shutil.rmtree(path)
            else: os.unlink(path)
        if entry.isdir(): mkdirs(path)
        elif entry.issym(): os.symlink(entry.linkname, path)
        elif entry.islnk(): os.link(os.path.normpath("/" + entry.linkname), path, follow_symlinks=False)
        elif entry.isfifo(): os.mkfifo(path)
        elif entry.ischr(): os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        else:
            with open(path, "wb") as out: out.write(tar.extractfile(entry).read())
results = []
for number, layers in enumerate(json.load(open(base + "/cases.json"))):
    place = "%s/space/%d" % (base, number); roots = []; ok = True
    os.makedirs(place + "/merged")
    for at, layer in enumerate(layers):
        root = "%s/%d" % (place, at); os.mkdir(root); roots.insert(0, root)
        # Opened before chroot.
        tar = tarfile.open(base + "/" + layer); pid = os.fork()
        if pid == 0:
            try: unpack(tar, root); os._exit(0)
            except OSError: os._exit(1)
            except BaseException as e: sys.stderr.write(repr(e)); os._exit(2)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 2: sys.exit(1)
        ok = ok and status == 0
    if not ok: results.append(None); continue
    os.mkdir(place + "/empty")
    if os.system("mount -t overlay none -o ro,lowerdir=%s %s/merged" % (":".join(roots + [place + "/empty"]), place)) != 0: sys.exit(1)
    found = []
    for folder, _, names in os.walk(place + "/merged"):
        for name in names:
            path = os.path.join(folder, name)
            # The name of a whiteout shows in a folder that only one layer has.
            if os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode):
                found.append(path[len(place) + 7:] + " " + hashlib.sha256(open(path, "rb").read()).hexdigest())
    os.system("umount %s/merged" % place); shutil.rmtree(place); results.append(sorted(found))
print(json.dumps(results))
`;

const name = fc.constantFrom("a", "b", "c", "d");
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const folderPath = fc.array(name, { maxLength: 2 }).map((parts) => parts.map((part) => `${part}/`).join(""));
const target = fc.oneof(
  path,
  path.map((to) => `/${to}`),
  path.map((to) => `../${to}`),
  path.map((to) => `../../../${to}`),
);

const entry: fc.Arbitrary<SampleEntry> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(path, fc.nat(9)).map(([at, seed]) => ({ name: at, content: `#!${seed}\n` })) },
  { weight: 2, arbitrary: path.map((at) => ({ name: `${at}/`, type: "5" })) },
  { weight: 2, arbitrary: fc.tuple(path, target).map(([at, linkName]) => ({ name: at, type: "2", linkName })) },
  { weight: 2, arbitrary: fc.tuple(path, path).map(([at, linkName]) => ({ name: at, type: "1", linkName })) },
  { weight: 2, arbitrary: fc.tuple(folderPath, name).map(([folder, gone]) => ({ name: `${folder}.wh.${gone}` })) },
  // Not of the root: overlayfs never takes that for opaque, though the specification has it so.
  {
    weight: 1,
    arbitrary: fc
      .tuple(name, folderPath)
      .map(([first, folder]) => `${first}/${folder}`)
      .map((folder) => ({ name: `${folder}.wh..wh..opq` })),
  },
  { weight: 1, arbitrary: fc.tuple(path, fc.constantFrom("3", "6")).map(([at, type]) => ({ name: at, type })) },
);

/**
 * Leaves out what makes an engine give up (a file where a folder is needed, a hard link to nothing), and what it decides by
 * the order of entries, which the specification does not: that a name is there and gone in one layer.
 */
function plausible(layer: readonly SampleEntry[]): SampleEntry[] {
  const names = layer.map(({ name: at }) => `${at}`.replace(/\/$/, ""));
  const gone = names.filter((at) => /\.wh\.[^.]/.test(at)).map((at) => at.replace(".wh.", ""));
  const files = new Set<string>();
  return layer.filter(({ type, linkName }, index) => {
    const at = names[index]!;
    if (names.indexOf(at) !== index && at.includes(".wh.")) return false;
    const below = (folder: string): boolean => at.startsWith(`${folder}/`);
    if ([...files].some(below)) return false;
    if (at.includes(".wh.")) return true;
    if (gone.some((hidden) => at === hidden || below(hidden))) return false;
    if (type === "1" && (linkName === at || !files.has(linkName ?? ""))) return false;
    if (type === "5" || type === "2") files.delete(at);
    else files.add(at);
    return true;
  });
}

const layers = fc.array(fc.array(entry, { minLength: 1, maxLength: 9 }).map(plausible), {
  minLength: 1,
  maxLength: 4,
});

test("layers come to what the kernel's overlay shows of them", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const base = mkdtempSync(join(tmpdir(), "pims-overlay-"));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  const images = fc.sample(layers, RUNS);
  const cases = images.map((image, number) =>
    image.map((list, at) => {
      writeFileSync(join(base, `${number}-${at}.tar`), sampleTar(list));
      return `${number}-${at}.tar`;
    }),
  );
  writeFileSync(join(base, "cases.json"), JSON.stringify(cases));
  writeFileSync(join(base, "engine.py"), engine);
  execFileSync("mkdir", [join(base, "space")]);
  const printed = execFileSync("unshare", ["-m", "python3", join(base, "engine.py"), base], {
    encoding: "utf8",
    timeout: 100_000,
    maxBuffer: 1e8,
  });
  const expected = JSON.parse(printed) as (string[] | null)[];
  let compared = 0;
  for (const [number, image] of images.entries()) {
    const { archive } = sampleArchive({ layers: image.map((list) => sampleTar(list)) });
    const built = await buildFromArchive(Readable.from([archive])).catch((error: unknown) => error);
    const shown = JSON.stringify(image, null, 1);
    if (expected[number] === null) continue;
    assert.ok(!(built instanceof Error), `${built}\n${shown}`);
    const { entries } = (built as Awaited<ReturnType<typeof buildFromArchive>>).baseline;
    const found = entries.map(({ path: at, sha256 }) => `${printable(at)} ${sha256}`).toSorted();
    assert.deepEqual(found, expected[number], shown);
    compared += 1;
  }
  t.diagnostic(`${compared} of ${RUNS} images were such that an engine unpacks them`);
  assert.ok(compared > RUNS / 5);
});
