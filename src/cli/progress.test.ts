import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const PROGRAM = `
import { Progress } from ${JSON.stringify(join(import.meta.dirname, "progress.ts"))};
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const progress = new Progress();
progress.step("a short wait");
await wait(50);
progress.step("a long wait");
await wait(1600);
progress.end();
process.stderr.write("the end");
`;

test("a terminal shows what is waited for after a second, and takes it away; elsewhere nothing is shown", () => {
  const command = [process.execPath, "--input-type=module", "-e", PROGRAM];
  const piped = spawnSync(command[0]!, command.slice(1), { encoding: "utf8", timeout: 20_000 });
  assert.equal(piped.stderr, "the end");
  // script(1) gives it a terminal.
  const env = { ...process.env, PROGRAM };
  const run = `${process.execPath} --input-type=module -e "$PROGRAM"`;
  const terminal = spawnSync("script", ["-qec", run, "/dev/null"], { encoding: "utf8", timeout: 20_000, env });
  const shown = terminal.stdout.replaceAll("\u001b[K", "<clear>").replaceAll("\r", "<start>");
  assert.match(shown, /^(<start><clear>a long wait … \d+ s)+<start><clear>the end/);
});
