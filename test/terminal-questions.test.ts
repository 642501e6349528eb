// What is asked on a terminal before something is signed. Python has pseudo-terminals; Node has none.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { changePublishers } from "../src/ledger/governance.ts";
import { generateKeyFile, readKeyFile } from "../src/ledger/keys/keys.ts";
import { startTestLedger, testActions, testLines } from "../src/ledger/testing.ts";
import { PROGRAM, temporaryFolder } from "./pims.ts";

/** Runs a command on a terminal of its own; each answer is typed when its question has come. Prints what was shown. */
const TERMINAL = `
import json, os, pty, sys, time
args, answers = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(args[0], args)
shown, seen = b"", 0
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    shown += data
    if answers and answers[0][0].encode() in shown[seen:]:
        seen = len(shown)
        time.sleep(0.2)
        os.write(terminal, answers.pop(0)[1].encode())
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps([status, shown.decode()]))
`;

async function onTerminal(args: readonly string[], answers: readonly (readonly [string, string])[]) {
  const child = spawn("python3", ["-c", TERMINAL, JSON.stringify([[PROGRAM, ...args], answers])], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await once(child, "close");
  const [status, shown] = JSON.parse(text) as [number, string];
  return { status, shown };
}

const PASSPHRASE = "three small words";

test("a passphrase is asked for without being shown, twice for a new key", async (t) => {
  const path = join(temporaryFolder(t), "key");
  const asked = ["Passphrase of the new key: ", "The same again: "] as const;
  const differs = await onTerminal(
    ["ledger", "key", path],
    [
      [asked[0], `${PASSPHRASE}\r`],
      [asked[1], "three\r"],
    ],
  );
  assert.equal(differs.status, 1);
  assert.match(differs.shown, /the two passphrases are not the same/);
  // Backspace takes back; Ctrl-C ends.
  const typed = `three smalk\u007fl words\r`;
  const made = await onTerminal(
    ["ledger", "key", path],
    [
      [asked[0], typed],
      [asked[1], `${PASSPHRASE}\r`],
    ],
  );
  assert.equal(made.status, 0, made.shown);
  assert.ok(!made.shown.includes("three") && !made.shown.includes("words"), made.shown);
  assert.match(made.shown, new RegExp((await readKeyFile(path, async () => PASSPHRASE)).address));
  const before = readFileSync(path, "utf8");
  const left = await onTerminal(["ledger", "key", `${path}2`], [[asked[0], "three\u0003"]]);
  assert.deepEqual([left.status, /nothing was signed/.test(left.shown)], [1, true], left.shown);
  assert.equal(readFileSync(path, "utf8"), before);
});

test("an approver sees what would be signed and is asked; only yes signs", async (t) => {
  const folder = temporaryFolder(t);
  const { place, publishers, chain } = await startTestLedger({ after: (undo) => t.after(undo) });
  const actions = testActions(place);
  const plain = join(folder, "plain");
  const passphraseFile = join(folder, "passphrase");
  writeFileSync(plain, "11".repeat(32), { mode: 0o600 });
  writeFileSync(passphraseFile, PASSPHRASE, { mode: 0o600 });
  const path = join(folder, "key");
  const key = await generateKeyFile({ path, passphrase: PASSPHRASE, cost: { n: 16, r: 8, p: 1 }, importFrom: plain });
  const [a, b] = publishers;
  for (const signer of [a, b])
    await changePublishers({ ...place, key: signer, publishers: [a.address, b.address, key.address], quorum: 2 });
  const { id } = await actions.propose(a, testLines("asked", 2));
  const at = ["--ledger", chain.url, "--registry", place.registry, "--key", path, "--passphrase-file", passphraseFile];
  const approve = ["baseline", "approve", id, ...at];
  for (const answer of ["no\r", "\r", "y\r"]) {
    const refused = await onTerminal(approve, [["Sign it?", answer]]);
    assert.equal(refused.status, 1, refused.shown);
    assert.match(refused.shown, /2 entries, root [0-9a-f]{64}/);
    assert.match(refused.shown, /nothing was signed/);
    assert.equal((await actions.read("asked")).status, "proposed");
  }
  const signed = await onTerminal(approve, [["Sign it?", "yes\r"]]);
  assert.equal(signed.status, 0, signed.shown);
  assert.equal((await actions.read("asked")).status, "approved");
});
