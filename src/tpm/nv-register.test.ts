import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { toHex } from "../core/bytes.ts";
import { tctiOf } from "./address.ts";
import { parseNvAttest } from "./attest.ts";
import { createAk } from "./attestation-key.ts";
import { nvDefine, nvIncrement, nvReadPublic, nvUndefine } from "./commands/nv.ts";
import { TPMA_NV } from "./constants.ts";
import { beginPolicy, counterPublic, extendName, goOnPolicy } from "./extend-index.ts";
import { extendAll, testFolder, testTpm } from "./fixtures.ts";
import { NvRegister } from "./nv-register.ts";
import { startSwtpm } from "./swtpm.ts";
import { openTpm, type Tpm } from "./tpm.ts";

const run = promisify(execFile);
const INDEX = 0x01800020;
const ZERO = new Uint8Array(32);
const digests = [1, 2, 3, 4].map((value) => new Uint8Array(32).fill(value));

async function begun(tpm: Tpm, extends_ = 2): Promise<{ register: NvRegister; count: bigint }> {
  const register = new NvRegister(tpm, INDEX);
  const count = await register.begin();
  for (const digest of digests.slice(0, extends_)) await register.extend(digest);
  return { register, count };
}

const indexOf = async (tpm: Tpm, index: number) => (await nvReadPublic(tpm, index))!;

test("it grows as a PCR does, and the attestation key certifies its value under a name that can be computed", async (t) => {
  const tpm = await testTpm(t);
  const register = new NvRegister(tpm, INDEX);
  assert.deepEqual(await register.read(), ZERO);
  const count = await register.begin();
  assert.deepEqual(await register.read(), ZERO);
  for (let length = 1; length <= digests.length; length++) {
    await register.extend(digests[length - 1]!);
    assert.deepEqual(await register.read(), extendAll(digests.slice(0, length)));
  }
  const ak = await createAk(tpm);
  const { attest } = await register.certify(ak, new Uint8Array(32).fill(7));
  const { indexName, contents, offset } = parseNvAttest(attest);
  assert.equal(toHex(indexName), toHex(extendName(INDEX, count)));
  assert.deepEqual([offset, contents], [0, extendAll(digests)]);
  assert.notEqual(toHex(extendName(INDEX, count)), toHex(extendName(INDEX, count + 1n)));
});

test("tpm2-tools read what was defined", async (t) => {
  const tpm = await testTpm(t);
  await begun(tpm);
  const tcti = tctiOf(tpm.address);
  const { stdout } = await run("tpm2_nvreadpublic", ["-T", tcti, "0x1800020"]);
  assert.ok(stdout.includes(toHex((await indexOf(tpm, INDEX)).name)), stdout);
  // TPM_NT_EXTEND, which the tool has no word for.
  assert.match(stdout, /value: 0x2E060048/);
  for (const word of ["policywrite", "authread", "ownerread", "no_da", "orderly", "clear_stclear", "written"])
    assert.ok(stdout.includes(word), `${word} in ${stdout}`);
  for (const word of ["authwrite", "ownerwrite", "policydelete", "platformcreate"])
    assert.ok(!stdout.includes(word), `${word} in ${stdout}`);
  const value = join(await testFolder(t), "value");
  await run("tpm2_nvread", ["-T", tcti, "-o", value, "0x1800020"]);
  assert.deepEqual(new Uint8Array(await readFile(value)), extendAll(digests.slice(0, 2)));
});

/** What another program does with tpm2-tools: an extend by the policy as the tools compute it. */
async function toolExtend(tpm: Tpm, folder: string, count: bigint, written: "s" | "c"): Promise<void> {
  const tcti = tctiOf(tpm.address);
  const operand = `${count.toString(16).padStart(16, "0")}`;
  await writeFile(join(folder, "operand"), Buffer.from(operand, "hex"));
  await writeFile(join(folder, "begin"), beginPolicy(INDEX, count));
  await writeFile(join(folder, "go-on"), goOnPolicy(INDEX, count));
  const tool = (name: string, ...args: string[]) => run(name, ["-T", tcti, ...args], { cwd: folder });
  await tool("tpm2_startauthsession", "-S", "session", "--policy-session");
  try {
    await tool("tpm2_policynvwritten", "-S", "session", written);
    const comparison = written === "s" ? "ugt" : "eq";
    await tool("tpm2_policynv", "-S", "session", "-C", "0x1800021", "-i", "operand", "0x1800021", comparison);
    await tool("tpm2_policyor", "-S", "session", "-l", "sha256:begin,go-on");
    await writeFile(join(folder, "data"), Buffer.alloc(32, 0x5a));
    await tool("tpm2_nvextend", "-C", "0x1800020", "-P", "session:session", "-i", "data", "0x1800020");
  } finally {
    await tool("tpm2_flushcontext", "session").catch(() => {});
  }
}

test("nothing extends it by chance; who follows the policy does, with tpm2-tools, too", async (t) => {
  const tpm = await testTpm(t);
  const folder = await testFolder(t);
  const { register, count } = await begun(tpm);
  const tcti = tctiOf(tpm.address);
  await writeFile(join(folder, "data"), Buffer.alloc(32, 0x5a));
  for (const by of ["0x1800020", "o"])
    await assert.rejects(run("tpm2_nvextend", ["-T", tcti, "-C", by, "-i", join(folder, "data"), "0x1800020"]));
  assert.deepEqual(await register.read(), extendAll(digests.slice(0, 2)));
  await toolExtend(tpm, folder, count, "s");
  assert.deepEqual(await register.read(), extendAll([...digests.slice(0, 2), new Uint8Array(32).fill(0x5a)]));
});

test("deleted and defined anew with the same name it never takes its first extend again", async (t) => {
  const tpm = await testTpm(t);
  const folder = await testFolder(t);
  const { register, count } = await begun(tpm);
  const { nvPublic, name } = await indexOf(tpm, INDEX);
  const again = { ...nvPublic, attributes: nvPublic.attributes & ~TPMA_NV.written };
  const attempt = async () => {
    await assert.rejects(toolExtend(tpm, folder, count, "c"), /policynv/);
    await assert.rejects(toolExtend(tpm, folder, count, "s"), /nvextend/);
    await assert.rejects(register.extend(digests[2]!), { code: "tpm-error", message: /TPM_RC_POLICY/ });
    assert.deepEqual(await register.read(), ZERO);
  };
  await nvUndefine(tpm, await indexOf(tpm, INDEX));
  await nvDefine(tpm, again);
  await attempt();
  // Not by setting the counter back either: a new one begins above all that there ever were.
  const counter = counterPublic(INDEX);
  await nvUndefine(tpm, await indexOf(tpm, counter.index));
  await nvDefine(tpm, counter);
  await nvIncrement(tpm, await indexOf(tpm, counter.index));
  await attempt();
  // An ordinary index in the counter's place has another name.
  await nvUndefine(tpm, await indexOf(tpm, counter.index));
  const fake = { ...counter, attributes: counter.attributes & ~TPMA_NV.typeCounter };
  await nvDefine(tpm, fake);
  const operand = join(folder, "operand");
  await run("tpm2_nvwrite", ["-T", tctiOf(tpm.address), "-C", "0x1800021", "-i", operand, "0x1800021"]);
  await assert.rejects(toolExtend(tpm, folder, count, "c"), /policyor/);
  await nvUndefine(tpm, await indexOf(tpm, counter.index));
  await nvUndefine(tpm, await indexOf(tpm, INDEX));
  // What can be begun has another name, and the register that was begun before does not take it for its own.
  const thief = new NvRegister(tpm, INDEX);
  const other = await thief.begin();
  assert.ok(other > count);
  for (const digest of digests.slice(0, 2)) await thief.extend(digest);
  assert.deepEqual(await thief.read(), extendAll(digests.slice(0, 2)));
  assert.notEqual(toHex((await indexOf(tpm, INDEX)).name), toHex(name));
  assert.deepEqual(await register.read(), ZERO);
  await assert.rejects(register.extend(digests[2]!), { code: "pcr-mismatch", message: /deleted, or defined anew/ });
});

test("a killed program's successor goes on at every step", async (t) => {
  const tpm = await testTpm(t);
  const first = new NvRegister(tpm, INDEX);
  const count = await first.begin();
  // Killed before the first extend.
  const second = new NvRegister(tpm, INDEX);
  assert.equal(await second.begin(), count);
  await second.extend(digests[0]!);
  // Killed after it, whether or not the counter was raised: the next one raises it.
  for (const digest of digests.slice(1, 3)) {
    const next = new NvRegister(tpm, INDEX);
    next.goOn(count);
    await next.extend(digest);
    assert.equal(toHex(await next.read()), toHex(await second.read()));
  }
  await assert.rejects(new NvRegister(tpm, INDEX).begin(), {
    code: "nv-index-taken",
    message: /0x01800020 .*already holds/,
  });
});

test("it starts anew with the machine, under another name", async (t) => {
  const folder = await testFolder(t);
  let before = 0n;
  for (let boot = 0; boot < 3; boot++) {
    const swtpm = await startSwtpm({ folder });
    const tpm = await openTpm(swtpm.address);
    try {
      const register = new NvRegister(tpm, INDEX);
      assert.deepEqual(await register.read(), ZERO);
      const count = await register.begin();
      assert.ok(count > before);
      before = count;
      for (const digest of digests) await register.extend(digest);
      assert.deepEqual(await register.read(), extendAll(digests));
    } finally {
      await tpm.close();
      await swtpm.stop();
    }
  }
});

test("a suspended machine keeps it, as it keeps a PCR; a restart of the TPM ends it for ever", async (t) => {
  const tpm = await testTpm(t);
  const tcti = tctiOf(tpm.address);
  const { register, count } = await begun(tpm);
  const control = `${tpm.address.slice("unix:".length)}.ctrl`;
  const powerCycle = async (startup: readonly string[]) => {
    // TPM2_Shutdown(STATE), then TPM2_Startup(STATE) or (CLEAR).
    await run("tpm2_shutdown", ["-T", tcti]);
    await run("swtpm_ioctl", ["--unix", control, "-i"]);
    await run("tpm2_startup", ["-T", tcti, ...startup]);
  };
  await powerCycle([]);
  assert.deepEqual(await register.read(), extendAll(digests.slice(0, 2)));
  await register.extend(digests[2]!);
  assert.deepEqual(await register.read(), extendAll(digests.slice(0, 3)));
  await powerCycle(["-c"]);
  assert.deepEqual(await register.read(), ZERO);
  await assert.rejects(register.extend(digests[0]!), { code: "tpm-error", message: /TPM_RC_POLICY/ });
  const anew = new NvRegister(tpm, INDEX);
  assert.ok((await anew.begin()) > count);
});

test("what is in its place is told and left as it is; a TPM without room, or whose owner has a password, is told", async (t) => {
  const tpm = await testTpm(t);
  const tcti = tctiOf(tpm.address);
  const taken = async (index: number) => {
    const before = await indexOf(tpm, index);
    const register = new NvRegister(tpm, INDEX);
    const error = { code: "nv-index-taken", message: new RegExp(`0x0${index.toString(16)} .*left as it is`) };
    await assert.rejects(register.begin(), error);
    if (index === INDEX) await assert.rejects(register.read(), error);
    await assert.rejects(register.extend(digests[0]!));
    assert.deepEqual(await indexOf(tpm, index), before);
    await nvUndefine(tpm, before);
  };
  await run("tpm2_nvdefine", ["-T", tcti, "-C", "o", "-s", "32", "-a", "authread|authwrite|nt=extend", "0x1800020"]);
  await taken(INDEX);
  assert.equal(await nvReadPublic(tpm, INDEX + 1), undefined, "nothing is defined beside what is not ours");
  await run("tpm2_nvdefine", ["-T", tcti, "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite|nt=counter", "0x1800021"]);
  await taken(INDEX + 1);

  const filled: number[] = [];
  await assert.rejects(async () => {
    for (let index = 0x01810000; ; index++) {
      await nvDefine(tpm, {
        ...counterPublic(index - 1),
        size: 2048,
        attributes: TPMA_NV.authWrite | TPMA_NV.authRead,
      });
      filled.push(index);
    }
  }, /TPM_RC_NV_SPACE/);
  await assert.rejects(async () => {
    for (let index = 0x01820000; ; index++)
      await nvDefine(tpm, { ...counterPublic(index - 1), size: 8, attributes: TPMA_NV.authWrite | TPMA_NV.authRead });
  }, /TPM_RC_NV_SPACE/);
  await assert.rejects(new NvRegister(tpm, INDEX).begin(), {
    code: "nv-no-space",
    message: /no room for the NV index/,
  });
  for (const index of filled) await nvUndefine(tpm, await indexOf(tpm, index));

  await run("tpm2_changeauth", ["-T", tcti, "-c", "owner", "secret"]);
  await assert.rejects(new NvRegister(tpm, INDEX).begin(), { code: "tpm-owner-auth", message: /owner has a password/ });
});
