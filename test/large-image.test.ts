import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readBaselineFile } from "../src/baseline/file.ts";
import { compressFile, writeLargeImage } from "../src/baseline/sample-large.ts";
import { temporaryFolder } from "./pims.ts";

/** `PIMS_LARGE_IMAGE=50000:4000000000` tries an image of 50 000 files and 4 GB. */
const [files, bytes] = (process.env.PIMS_LARGE_IMAGE ?? "5000:200000000").split(":").map(Number) as [number, number];
const MOST_MIB = 256;

const main = join(import.meta.dirname, "../src/cli/main.ts");
/** Peak resident memory of the whole process, in KiB (getrusage(2), ru_maxrss). */
const REPORT = 'process.on("exit", () => console.error("peak " + process.resourceUsage().maxRSS));';

test("a large image is read in little memory", { timeout: 600_000 }, async (t) => {
  const folder = temporaryFolder(t);
  const plain = join(folder, "image.tar");
  writeLargeImage(plain, { files, bytes });
  const packed = join(folder, "image.tar.gz");
  await compressFile(plain, packed);
  assert.ok(statSync(plain).size > bytes * 0.98);
  for (const archive of [plain, packed]) {
    const output = join(folder, "built");
    const args = ["--import", `data:text/javascript,${encodeURIComponent(REPORT)}`, main];
    const started = performance.now();
    const { status, stderr } = spawnSync(
      process.execPath,
      [...args, "baseline", "build", "--archive", archive, "--output", output],
      { encoding: "utf8", timeout: 300_000, killSignal: "SIGKILL" },
    );
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
