import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

const root = join(import.meta.dirname, "..");

/** A checkout with nothing but what the set-up itself needs. */
async function checkout(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pims-setup-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "scripts"));
  for (const name of ["scripts/setup", "package-lock.json", ".npmrc"])
    await copyFile(join(root, name), join(folder, name));
  return folder;
}

/** npm packages as the set-up leaves them; `version` is what the Node among them says of itself. */
async function packages(folder: string, version: string): Promise<void> {
  await mkdir(join(folder, "node_modules/.bin"), { recursive: true });
  await writeFile(join(folder, "node_modules/.bin/node"), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 });
  const hash = createHash("sha256");
  for (const name of ["package-lock.json", ".npmrc"]) hash.update(await readFile(join(folder, name)));
  await writeFile(join(folder, "node_modules/.pims-setup"), `${hash.digest("hex")}-${process.arch}\n`);
}

/** Another user who may nevertheless read the test's folder, which is root's alone. */
const nobody = "--reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search";

function setup(folder: string, purpose: string, options: { asNobody?: boolean; path?: string } = {}) {
  const command = ["/bin/sh", join(folder, "scripts/setup"), purpose];
  if (options.asNobody) command.unshift("setpriv", ...nobody.split(" "));
  const { status, stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
    encoding: "utf8",
    timeout: 20_000,
    env: { ...process.env, PATH: options.path ?? process.env.PATH },
  });
  assert.equal(stdout, "");
  return { status, stderr };
}

test("nothing missing: nothing said, and quickly", async (t) => {
  const folder = await checkout(t);
  await packages(folder, "v24.1.0");
  const before = performance.now();
  assert.deepEqual(setup(folder, "demo"), { status: 0, stderr: "" });
  assert.ok(performance.now() - before < 1000);
});

test("what the set-up cannot do it says in one sentence", async (t) => {
  const folder = await checkout(t);
  await packages(folder, "v18.20.4");
  const sentence = (found: { status: number | null; stderr: string }, pattern: RegExp): void => {
    assert.equal(found.status, 1);
    assert.match(found.stderr, pattern);
    assert.equal(found.stderr.trimEnd().split("\n").length, 1, found.stderr);
  };
  sentence(setup(folder, "demo", { asNobody: true }), /root is needed/);
  sentence(setup(folder, "dmeo"), /unknown purpose 'dmeo'/);
  sentence(setup(folder, "demo"), /there is no Node 24 in node_modules \(found: v18\.20\.4\)/);
});

test("a machine without apt is told what to install", async (t) => {
  const folder = await checkout(t);
  // Everything that this machine has but apt-get and swtpm. The set-up adds /usr/sbin, which has neither.
  const programs = join(folder, "programs");
  await mkdir(programs);
  for (const name of await readdir("/usr/bin")) {
    if (name !== "apt-get" && name !== "swtpm") await symlink(join("/usr/bin", name), join(programs, name));
  }
  const { status, stderr } = setup(folder, "demo", { path: programs });
  assert.equal(status, 1);
  assert.match(stderr, /^pims setup: this is no Debian \(no apt-get\), so install what is missing yourself: swtpm$/m);
});
