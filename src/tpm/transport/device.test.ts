import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { getRandom } from "../commands/get-random.ts";
import { pcrExtend } from "../commands/pcr-extend.ts";
import { pcrRead } from "../commands/pcr-read.ts";
import { extendAll, testFolder, testTpm } from "../fixtures.ts";
import { tpmInfo } from "../info.ts";
import { openTpm } from "../tpm.ts";

/**
 * A character device that is not the kernel's: a pseudoterminal whose other end passes each command to `target`, the
 * socket of a swtpm, or does what `target` says otherwise: `late` keeps the first one waiting.
 */
const RELAY = `
import os, pty, socket, sys, time, tty
main, device = pty.openpty()
tty.setraw(main); tty.setraw(device)
print(os.ttyname(device), flush=True)
while True:
    command = os.read(main, 4096)
    if sys.argv[1] == "silent": continue
    if sys.argv[1] == "short": os.write(main, bytes.fromhex("80010000000900000000")); continue
    if sys.argv[1] == "late": time.sleep(0.4); sys.argv[1] = sys.argv[2]
    if sys.argv[1] == "more": os.write(main, bytes.fromhex("80010000000a0000092100")); continue
    peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1]); peer.sendall(command)
    response = b""
    while len(response) < 6 or len(response) < int.from_bytes(response[2:6], "big"): response += peer.recv(4096)
    peer.close()
    os.write(main, response)
`;

async function device(t: TestContext, ...target: string[]) {
  const relay = spawn("python3", ["-c", RELAY, ...target], { stdio: ["ignore", "pipe", "inherit"] });
  const end = async (): Promise<void> => {
    if (relay.exitCode !== null || relay.signalCode !== null) return;
    const gone = once(relay, "exit");
    relay.kill("SIGKILL");
    await gone;
  };
  t.after(end);
  const [line] = await once(relay.stdout, "data", { signal: AbortSignal.timeout(15_000) });
  return { address: `device:${String(line).trim()}`, end };
}

test("one write is a command, one read its response", async (t) => {
  const swtpm = await testTpm(t);
  const { address } = await device(t, swtpm.address.slice("unix:".length));
  const tpm = await openTpm(address);
  t.after(() => tpm.close());
  const digests = Array.from({ length: 5 }, (_, index) => new Uint8Array(32).fill(index));
  await Promise.all(digests.map((digest) => pcrExtend(tpm, "sha256", 16, digest)));
  assert.deepEqual((await pcrRead(tpm, "sha256", [16])).get(16), extendAll(digests));
  assert.equal((await tpmInfo(tpm)).manufacturer, "IBM");
});

test("a response that is not whole is malformed, and none is awaited from that device again", async (t) => {
  for (const target of ["short", "more"]) {
    const { address } = await device(t, target);
    const tpm = await openTpm(address);
    await assert.rejects(getRandom(tpm, 4), { code: "tpm-malformed" }, target);
    await assert.rejects(getRandom(tpm, 4), { code: "tpm-unreachable", message: /did not answer an earlier command/ });
    await tpm.close();
  }
});

test("an answer that comes too late is nobody's, and the device is in step again", async (t) => {
  const swtpm = await testTpm(t);
  const { address } = await device(t, "late", swtpm.address.slice("unix:".length));
  const tpm = await openTpm(address, { timeoutMs: 300 });
  t.after(() => tpm.close());
  const digest = new Uint8Array(32).fill(1);
  await assert.rejects(pcrExtend(tpm, "sha256", 16, digest), { code: "tpm-unreachable", message: /did not answer/ });
  assert.deepEqual((await pcrRead(tpm, "sha256", [16])).get(16), extendAll([digest]));
});

test("a silent device ends in bounded time", async (t) => {
  const { address, end } = await device(t, "silent");
  const tpm = await openTpm(address, { timeoutMs: 200 });
  await assert.rejects(getRandom(tpm, 4), { code: "tpm-unreachable", message: /did not answer within 200 ms/ });
  await tpm.close();
  // Ends the read that is still in progress.
  await end();
});

test("what is no TPM at all", async (t) => {
  await assert.rejects(openTpm(`device:${await testFolder(t)}`), { code: "tpm-unreachable", message: /EISDIR/ });
  const nothing = await openTpm("device:/dev/null");
  await assert.rejects(getRandom(nothing, 4), { code: "tpm-malformed", message: /ends after 0 bytes/ });
  await nothing.close();
  const echo = await openTpm("device:/dev/full");
  await assert.rejects(getRandom(echo, 4), { code: "tpm-unreachable", message: /ENOSPC/ });
  await echo.close();
});
