import assert from "node:assert/strict";
import { mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openTpmAnchor } from "../src/agent/tpm-anchor.ts";
import { formatRecord } from "../src/log/record.ts";
import { replay } from "../src/log/replay.ts";
import { startSwtpm } from "../src/tpm/swtpm.ts";
import { type Ended, pims, temporaryFolder } from "./pims.ts";

/** One sentence on standard error that says what is wrong, nothing else, and the status of "could not do it". */
function assertRefused({ status, stdout, stderr }: Ended, sentence: RegExp): void {
  assert.match(stderr, sentence);
  assert.equal(status, 1, stderr);
  assert.equal(stdout, "");
  assert.ok(!stderr.includes("    at "), "no stack trace");
  assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  assert.match(stderr, /^pims: /);
}

const ledger = { url: "http://127.0.0.1:9", registry: `0x${"11".repeat(20)}` };

function configFile(t: TestContext, content: unknown): string {
  const path = join(temporaryFolder(t), "config.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

test("every command explains itself", () => {
  const help = pims(["--help"]);
  assert.equal(help.status, 0);
  const commands = [...help.stdout.matchAll(/^ {2}(\w+)/gm)]
    .map((match) => match[1]!)
    .filter((name) => name !== "help");
  for (const name of ["scan", "demo", "status", "attest", "log", "baseline", "ledger", "agent", "verifier", "tpm"])
    assert.ok(commands.includes(name), name);
  for (const name of commands) {
    const { status, stdout } = pims([name, "--help"]);
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^Usage: pims ${name}`));
  }
});

test("help marks what must be given", () => {
  const required = (...args: string[]) =>
    [
      ...pims([...args, "--help"])
        .stdout.replaceAll(/\n {3,}(?=[^ -])/g, " ")
        .matchAll(/^ +(--[a-z-]+).*\(required\)$/gm),
    ].map(([, option]) => option);
  // Who signs is a key or a remote signer, where the registry is an option or a configuration.
  assert.deepEqual(required("baseline", "approve"), []);
  assert.deepEqual(required("baseline", "supersede"), ["--by"]);
  assert.deepEqual(required("agent", "run"), ["--config"]);
  assert.deepEqual(required("scan"), []);
});

test("help tells of no empty list, and of a publisher's key what it is for", () => {
  const help = pims(["ledger", "publishers", "--help"]).stdout.replaceAll(/\s+/g, " ");
  assert.doesNotMatch(help, /default: \[\]/);
  assert.match(help, /with --set: instead of --key, a remote signer that keeps a publisher's key/);
});

test("a broken file with an expected baseline is named before anybody signs", (t) => {
  const file = join(temporaryFolder(t), "mine.baseline");
  const approve = () =>
    pims(["baseline", "approve", "0x11", "--registry", ledger.registry, "--key", "/nowhere/key", "--expect", file]);
  assertRefused(approve(), /mine\.baseline does not exist/);
  for (const text of ["", "{}\n", "\xff\n", '{"format":"pims.baseline/v1"}\n']) {
    writeFileSync(file, text, "latin1");
    assertRefused(approve(), /mine\.baseline: /);
  }
});

test("an unknown command, option or value is refused", () => {
  for (const args of [
    ["scam"],
    ["scan", "--al"],
    ["log", "verify", "/nowhere", "--pcr"],
    ["demo", "--tpm", "none"],
    ["demo", "--runtime", "lxc"],
  ]) {
    const { status, stderr } = pims(args);
    assert.equal(status, 1, args.join(" "));
    assert.match(stderr, /^pims: /);
    assert.ok(!stderr.includes("    at "));
  }
});

test("what needs root says so", () => {
  const wrapper = ["unshare", "--user"];
  assertRefused(pims(["scan"], { wrapper }), /must run as root.*sudo/);
  assertRefused(pims(["demo"], { wrapper }), /must run as root.*sudo/);
});

test("a configuration with a wrong key, a wrong value or no JSON is named", (t) => {
  const agent = {
    tpm: "unix:/nowhere/tpm.sock",
    verifier: { url: "http://127.0.0.1:9" },
    ledger,
    state: temporaryFolder(t),
  };
  assertRefused(
    pims(["agent", "run", "--config", configFile(t, { ...agent, sweepIntervalMS: 5 })]),
    /config\.json.*sweepIntervalMS/,
  );
  assertRefused(
    pims(["agent", "run", "--config", configFile(t, { ...agent, sweepIntervalMs: 1 })]),
    /config\.json.*sweepIntervalMs/,
  );
  assertRefused(
    pims(["agent", "run", "--config", configFile(t, { ...agent, policy: { actions: { "code-modifed": "pause" } } })]),
    /code-modifed/,
  );
  assertRefused(
    pims(["verifier", "run", "--config", configFile(t, { ledger: { ...ledger, registry: "0x12" } })]),
    /ledger\.registry/,
  );
  assertRefused(pims(["verifier", "run", "--config", configFile(t, "{ nonsense")]), /not JSON/);
  assertRefused(
    pims(["verifier", "run", "--config", "/nowhere/config.json"]),
    /\/nowhere\/config\.json does not exist/,
  );
});

test("no TPM: the agent and tpm info say where they looked", (t) => {
  const state = temporaryFolder(t);
  const config = { tpm: "unix:/nowhere/tpm.sock", verifier: { url: "http://127.0.0.1:9" }, ledger, state };
  assertRefused(pims(["agent", "run", "--config", configFile(t, config)]), /\/nowhere\/tpm\.sock/);
  assertRefused(pims(["tpm", "info", "--tpm", "unix:/nowhere/tpm.sock"]), /\/nowhere\/tpm\.sock/);
  assertRefused(pims(["tpm", "info", "--tpm", "usb"]), /not the address of a TPM/);
});

test("no swtpm: the demo says how to get it, and leaves nothing", (t) => {
  const path = join(temporaryFolder(t), "bin");
  mkdirSync(path);
  for (const folder of ["/usr/sbin", "/usr/bin"])
    for (const name of readdirSync(folder))
      if (!name.startsWith("swtpm"))
        try {
          symlinkSync(join(folder, name), join(path, name));
        } catch {
          // In both folders.
        }
  const env = { ...process.env, PATH: path };
  assertRefused(lastLine(pims(["demo", "--runtime", "runc"], { env })), /swtpm/);
});

/** The demo shows its progress on standard error before it fails. */
function lastLine(ended: Ended): Ended {
  return { ...ended, stderr: `${ended.stderr.trimEnd().split("\n").at(-1)}\n` };
}

test("a number that is none, an endpoint or identity of no form, and a configuration without a ledger are said", (t) => {
  const key = ["--key", "/nowhere/key"];
  const registry = ["--registry", ledger.registry];
  const publishers = ["--publisher", ledger.registry, `0x${"22".repeat(20)}`];
  for (const quorum of ["abc", "", "2.5", "-1", "65", "1e1"]) {
    const wrong = /--quorum is a whole number up to 64/;
    assertRefused(pims(["ledger", "deploy", ...publishers, ...key, `--quorum=${quorum}`]), wrong);
    const set = ["--set", ...publishers.slice(1)];
    assertRefused(pims(["ledger", "publishers", ...registry, ...set, ...key, `--quorum=${quorum}`]), wrong);
  }
  assertRefused(pims(["ledger", "start", "--port", "x"]), /--port is a whole number up to 65535/);
  for (const overlap of ["abc", "", "8785", "0.0001"])
    assertRefused(
      pims(["baseline", "supersede", "0x11", "--by", "0x22", ...registry, ...key, "--overlap", overlap]),
      /--overlap is a number of hours, 8784 at most/,
    );
  const config = configFile(t, { state: "/nowhere" });
  assertRefused(pims(["baseline", "list", "--config", config]), /config\.json is wrong at ledger: it is missing/);
  assertRefused(
    pims(["baseline", "list", "--witness", "garbage", ...registry]),
    /--witness .*not an http or https URL/,
  );
  assertRefused(pims(["baseline", "list", "--ledger", "garbage", ...registry]), /--ledger .*not an http or https URL/);
  for (const which of ["sha256:00", "0x00"])
    assertRefused(pims(["baseline", "show", which, ...registry]), /64 hexadecimal digits/);
});

test("a port that is in use is named", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const config = configFile(t, { state: temporaryFolder(t), listen: { port }, ledger });
  assertRefused(pims(["verifier", "run", "--config", config]), new RegExp(`port ${port} .*already in use`));
  assertRefused(
    pims(["ledger", "start", "--state", temporaryFolder(t), "--port", String(port)]),
    new RegExp(`${port}`),
  );
});

test("a chain or verifier that does not answer is named", () => {
  const at = ["--ledger", ledger.url, "--registry", ledger.registry];
  assertRefused(pims(["baseline", "list", ...at]), /127\.0\.0\.1:9/);
  assertRefused(pims(["baseline", "show", `sha256:${"0".repeat(64)}`, ...at]), /127\.0\.0\.1:9/);
  assertRefused(pims(["status", "--verifier", "http://127.0.0.1:9"]), /no verifier answers at http:\/\/127\.0\.0\.1:9/);
  assertRefused(pims(["status", "--verifier", "localhost"]), /not the address of a verifier/);
  assertRefused(
    pims(["attest", "web", "--verifier", "http://127.0.0.1:9", "--operator-token", "/nowhere"]),
    /no operator's token in \/nowhere/,
  );
});

test("an image, archive, folder or baseline that is not there is named", (t) => {
  const output = join(temporaryFolder(t), "out");
  assertRefused(pims(["baseline", "build", "--rootfs", "/nowhere/root", "--output", output]), /\/nowhere\/root/);
  assertRefused(
    pims(["baseline", "build", "--archive", "/nowhere/image.tar", "--output", output]),
    /\/nowhere\/image\.tar/,
  );
  assertRefused(pims(["baseline", "build", "--output", output]), /exactly one of/);
  assertRefused(pims(["baseline", "show", "/nowhere/baseline"]), /\/nowhere\/baseline/);
  const env = { ...process.env, DOCKER_HOST: "unix:///nowhere/docker.sock" };
  assertRefused(
    pims(["baseline", "build", "--docker", "no/such", "--output", output], { env }),
    /no Docker Engine answers at \/nowhere\/docker\.sock/,
  );
  assertRefused(pims(["demo", "--runtime", "docker"], { env }), /no Docker Engine answers at \/nowhere\/docker\.sock/);
});

test("a root file system that cannot be read is named, and no half baseline is written", (t) => {
  const root = temporaryFolder(t);
  mkdirSync(join(root, "secret"), { mode: 0 });
  const output = join(temporaryFolder(t), "out");
  assertRefused(
    pims(["baseline", "build", "--rootfs", root, "--output", output], { wrapper: ["unshare", "--user"] }),
    /secret/,
  );
  assertRefused(pims(["baseline", "show", output]), /out/);
});

function writeLog(t: TestContext): { path: string; lines: string[]; value: string } {
  const time = "2026-01-02T03:04:05.678Z";
  const bootId = "00000000-0000-4000-8000-000000000001";
  const records = [
    formatRecord(0, 13, [{ type: "boot", time, bootId, previous: null }]),
    formatRecord(1, 13, [{ type: "gap", time, text: "one" }]),
    formatRecord(2, 13, [{ type: "gap", time, text: "two" }]),
  ];
  const path = join(temporaryFolder(t), "measurements.jsonl");
  writeFileSync(path, records.map(({ line }) => `${line}\n`).join(""));
  const value = Buffer.from(replay(records.map(({ digest }) => digest))).toString("hex");
  return { path, lines: records.map(({ line }) => line), value };
}

test("log verify says where a log first disagrees", (t) => {
  const { path, lines, value } = writeLog(t);
  const verify = (...args: string[]) => pims(["log", "verify", path, ...args]);
  assert.equal(verify("--value", value).status, 0);
  const other = verify("--value", `${"00".repeat(31)}01`);
  assert.equal(other.status, 2);
  assert.match(other.stderr, /pcr-mismatch/);
  writeFileSync(path, lines.join("\n").replace("one", "eno"));
  const altered = verify("--value", value, "--json");
  assert.equal(altered.status, 2);
  assert.deepEqual(
    (({ schema, agrees, reason, records }) => ({ schema, agrees, reason, records }))(JSON.parse(altered.stdout)),
    { schema: "pims.log-verify/v1", agrees: false, reason: "log-broken", records: 1 },
  );
  assert.match(altered.stdout, /record 1 /);
  assertRefused(verify(), /exactly one of/);
});

test("a truncated log is shown up to where it breaks", (t) => {
  const { path, lines } = writeLog(t);
  assert.equal(pims(["log", "show", path]).stdout.trimEnd().split("\n").length, 3);
  truncateSync(path, Buffer.byteLength(lines.join("\n")) - 20);
  const shown = pims(["log", "show", path]);
  assert.equal(shown.status, 1);
  assert.equal(shown.stdout.trimEnd().split("\n").length, 2);
  assert.match(shown.stderr, /^pims: record 2 of the log/);
  assertRefused(pims(["log", "show", "/nowhere/log"]), /no measurement log at \/nowhere\/log/);
});

test("a log of another boot beside a TPM that is in use stops the agent", async (t) => {
  const folder = temporaryFolder(t);
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const { lines } = writeLog(t);
  const state = join(folder, "agent");
  mkdirSync(join(state, "log"), { recursive: true });
  writeFileSync(join(state, "log", "measurements.jsonl"), `${lines.join("\n")}\n`);
  const anchor = await openTpmAnchor(swtpm.address, 13);
  await anchor.register.extend("ab".repeat(32));
  await anchor.close();
  const config = configFile(t, { tpm: swtpm.address, verifier: { url: "http://127.0.0.1:9" }, ledger, state });
  assertRefused(pims(["agent", "run", "--config", config]), /the log is of another boot/);
});

test("a host without a join file is told how to enroll", async (t) => {
  const folder = temporaryFolder(t);
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const config = configFile(t, {
    tpm: swtpm.address,
    verifier: { url: "http://127.0.0.1:9" },
    ledger,
    state: join(folder, "agent"),
  });
  assertRefused(pims(["agent", "run", "--config", config]), /not enrolled.*joinFile/);
});

test("log verify checks a log against a quote, with the key in either of its forms, and only with the right nonce", async (t) => {
  const folder = temporaryFolder(t);
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const { path, lines } = writeLog(t);
  const anchor = await openTpmAnchor(swtpm.address, 13);
  for (const line of lines) await anchor.register.extend(/"digest":"([0-9a-f]{64})"/.exec(line)![1]!);
  const { attest, signature } = await anchor.quote(Buffer.from("cafe", "hex"));
  await anchor.close();
  const bare = Buffer.from(anchor.akPublic);
  const sized = Buffer.concat([Buffer.from([bare.length >> 8, bare.length & 0xff]), bare]);
  for (const [name, bytes] of Object.entries({ attest, signature, bare, sized }))
    writeFileSync(join(folder, name), bytes);
  const verify = (key: string, nonce: string) => {
    const files = [
      "--quote",
      join(folder, "attest"),
      "--signature",
      join(folder, "signature"),
      "--ak",
      join(folder, key),
    ];
    return pims(["log", "verify", path, ...files, "--nonce", nonce]);
  };
  for (const key of ["bare", "sized"]) assert.equal(verify(key, "cafe").status, 0, key);
  const other = verify("bare", "beef");
  assert.equal(other.status, 2);
  assert.match(other.stderr, /nonce-mismatch/);
});
