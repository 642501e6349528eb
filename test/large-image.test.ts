import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readBaselineFile } from "../src/baseline/file.ts";
import { compressFile, writeLargeImage } from "../src/baseline/sample-large.ts";
import { PROGRAM, temporaryFolder } from "./pims.ts";

/** `PIMS_LARGE_IMAGE=50000:4000000000` tries an image of 50 000 files and 4 GB. */
const [files, bytes] = (process.env.PIMS_LARGE_IMAGE ?? "5000:200000000").split(":").map(Number) as [number, number];
const MOST_MIB = 256;

/** Runs a program and says on standard error what memory it or a child of it had at most, in KiB (getrusage(2)). */
const MEASURE = `
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
sys.stderr.write("peak %d\\n" % resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
`;

test("a large image is read in little memory", { timeout: 600_000 }, async (t) => {
  const folder = temporaryFolder(t);
  const plain = join(folder, "image.tar");
  writeLargeImage(plain, { files, bytes });
  const packed = join(folder, "image.tar.gz");
  await compressFile(plain, packed);
  assert.ok(statSync(plain).size > bytes * 0.98);
  for (const archive of [plain, packed]) {
    const output = join(folder, "built");
    const args = ["-c", MEASURE, PROGRAM, "baseline", "build", "--archive", archive, "--output", output];
    const started = performance.now();
    const { status, stderr } = spawnSync("python3", args, { encoding: "utf8", timeout: 300_000 });
    assert.equal(status, 0, stderr);
    const peak = Math.round(Number(/^peak (\d+)$/m.exec(stderr)?.[1]) / 1024);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    t.diagnostic(
      `${files} files, ${bytes} bytes${archive === packed ? ", compressed" : ""}: ${peak} MiB, ${seconds} s`,
    );
    assert.ok(peak < MOST_MIB, `${peak} MiB`);
    assert.equal((await readBaselineFile(output)).entries.length, Math.ceil(files / 5) * 3);
  }
});
