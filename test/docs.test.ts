import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { agentConfigSchema } from "../src/agent/config.ts";
import { openTpmAnchor } from "../src/agent/tpm-anchor.ts";
import { toHex } from "../src/core/bytes.ts";
import { sha256, sha256Hex } from "../src/core/digest.ts";
import { ledgerSchema } from "../src/ledger/config.ts";
import { REASONS } from "../src/log/finding.ts";
import { MeasurementLog } from "../src/log/measurement-log.ts";
import { tctiOf } from "../src/tpm/address.ts";
import { pcrRead } from "../src/tpm/commands/pcr-read.ts";
import { startSwtpm } from "../src/tpm/swtpm.ts";
import { openTpm } from "../src/tpm/tpm.ts";
import { verifierConfigSchema } from "../src/verifier/config.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** The code blocks of a document whose info string is this. */
function blocks(path: string, info: string): string[] {
  return [...read(path).matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === info)
    .map(([, , code]) => code!);
}

const EVIDENCE = "docs/checking-evidence.md";

/** A software TPM with a log in its PCR 13, or another register, and a shell that runs lines of the document on it. */
async function measuredHost(t: TestContext, register = 13) {
  const folder = await mkdtemp(join(tmpdir(), "pims-docs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const swtpm = await startSwtpm({ folder: join(folder, "tpm") });
  t.after(() => swtpm.stop());
  const anchor = await openTpmAnchor(swtpm.address, register);
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const { log } = await MeasurementLog.open(join(folder, "log"), anchor.register, bootId);
  const time = "2025-01-31T12:00:00.000Z";
  await log.append([{ type: "gap", time, text: 'a brace }, a quote ", "content": and ünïcode' }]);
  await log.append([
    { type: "gap", time, text: "one" },
    { type: "agent-stop", time },
  ]);
  await log.close();
  await anchor.close();
  await writeFile(join(folder, "check.py"), blocks(EVIDENCE, "python")[0]!);
  const run = (lines: string, more: Record<string, string> = {}) =>
    spawnSync("bash", ["-euo", "pipefail", "-c", lines], {
      cwd: root,
      encoding: "utf8",
      timeout: 30_000,
      env: {
        ...process.env,
        TPM: swtpm.address,
        TPM2TOOLS_TCTI: tctiOf(swtpm.address),
        LOG: log.path,
        OUT: folder,
        ...more,
      },
    });
  return { address: swtpm.address, folder, logPath: log.path, run };
}

test("the document's lines check a log and a quote of a real TPM", async (t) => {
  const { address, run } = await measuredHost(t);
  const tpm = await openTpm(address);
  const value = (await pcrRead(tpm, "sha256", [13])).get(13)!;
  await tpm.close();

  const shell = blocks(EVIDENCE, "sh");
  const { status, stdout, stderr } = run(shell.join("\n"));
  assert.equal(status, 0, stderr);
  const lines = stdout.split("\n");
  assert.equal(lines[0], toHex(value));
  assert.equal(lines[1], toHex(sha256(value)));
  const tool = /13\s*: 0x([0-9A-F]{64})/.exec(stdout);
  assert.equal(tool?.[1]?.toLowerCase(), lines[0], "tpm2_pcrread");
  assert.match(stdout, new RegExp(`pcrDigest: ${lines[1]}`), "tpm2_print");
  assert.match(stdout, /3 records replay to [0-9a-f]{64}\nthe log agrees/);

  const check = shell.find((block) => block.startsWith("tpm2_checkquote"))!;
  const prepare = shell.find((block) => block.startsWith("NONCE="))!;
  assert.equal(run(prepare + check).status, 0);
  const other = run(`${prepare}NONCE=${"0".repeat(64)}\n${check}`);
  assert.notEqual(other.status, 0, "tpm2_checkquote accepts another nonce");
  assert.match(other.stderr, /nonce|qualification|extraData/i);
});

test("the document's lines check a quote of more PCRs than the log's", async (t) => {
  const { folder, run } = await measuredHost(t);
  assert.equal(run("tpm2_pcrextend 7:sha256=$(printf '5a%.0s' $(seq 32))").status, 0);
  const prepare = blocks(EVIDENCE, "sh").find((block) => block.startsWith("NONCE="))!;
  const key = prepare.slice(0, prepare.indexOf("node_modules/.bin/node"));
  const [check] = blocks(EVIDENCE, "sh platform");
  const { status, stdout, stderr } = run(`${key}printf %s "$NONCE" > "$OUT/nonce"\n${check}`);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /3 records replay to [0-9a-f]{64}\nthe log agrees/);
  const verify = check!.slice(check!.indexOf("bin/pims log verify"));
  const withOthers = async (text: string) => {
    await writeFile(join(folder, "others"), text);
    return run(`NONCE=$(cat "$OUT/nonce")\n${verify}`);
  };
  const others = await readFile(join(folder, "others"), "utf8");
  const seventh = /^\s+7\s*: 0x[0-9A-F]{64}\n/m;
  assert.match(others, seventh);
  const altered = await withOthers(others.replace(seventh, `  7 : 0x${"5A".repeat(32)}\n`));
  assert.equal(altered.status, 2, altered.stderr);
  assert.match(altered.stderr, /pcr-mismatch/);
  const fewer = await withOthers(others.replace(seventh, ""));
  assert.equal(fewer.status, 2);
  assert.match(fewer.stderr, /quote-invalid: .*not of exactly PCR/);
  assert.equal((await withOthers("nothing")).status, 1);
});

test("the document's lines check a log in an NV index", async (t) => {
  const { folder, run } = await measuredHost(t, 0x01800020);
  await writeFile(join(folder, "name.py"), blocks(EVIDENCE, "python nv")[0]!);
  const prepare = blocks(EVIDENCE, "sh").find((block) => block.startsWith("NONCE="))!;
  const key = prepare.slice(0, prepare.indexOf("node_modules/.bin/node"));
  const [check] = blocks(EVIDENCE, "sh nv");
  const { status, stdout, stderr } = run(key + check);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /Verified OK/);
  const [, certified, replayed] = /^([0-9a-f]{64})\n([0-9a-f]{64})\n/m.exec(stdout) ?? [];
  assert.equal(certified, replayed, stdout);
  assert.match(stdout, /3 records replay to [0-9a-f]{64}\nthe log agrees/);
  const name = (index: string, nonce: string) =>
    run(`${key}python3 "$OUT/name.py" "$LOG" "$OUT/certified" ${index} ${nonce}`);
  assert.match(name("0x1800020", "0".repeat(64)).stderr, /not made for the nonce/);
  assert.match(name("0x1800022", "0".repeat(64)).stderr, /another NV index/);
});

test("the document's ten lines find an altered log", async (t) => {
  const { folder, logPath, run } = await measuredHost(t);
  const check = blocks(EVIDENCE, "sh").find((block) => block.startsWith("python3"))!;
  const honest = run(check);
  assert.equal(honest.status, 0, honest.stderr);
  const lines = (await readFile(logPath, "utf8")).trimEnd().split("\n");
  const checkLines = async (altered: string[]) => {
    const path = join(folder, "altered.jsonl");
    await writeFile(path, `${altered.join("\n")}\n`);
    return run(check, { LOG: path });
  };

  const text = await checkLines(lines.with(1, lines[1]!.replace("brace", "BRACE")));
  assert.notEqual(text.status, 0);
  assert.match(text.stderr, /record 1 was altered or is missing/);
  const removed = await checkLines(lines.toSpliced(1, 1));
  assert.match(removed.stderr, /record 1 was altered or is missing/);
  // These fit in themselves; only the PCR's value tells.
  const content = lines[1]!.slice(lines[1]!.indexOf('"content":') + 10, -1).replace("brace", "BRACE");
  const rewritten = lines[1]!
    .replace("brace", "BRACE")
    .replace(/"digest":"[0-9a-f]{64}"/, `"digest":"${sha256Hex(content)}"`);
  for (const altered of [lines.with(1, rewritten), lines.slice(0, -1)]) {
    const other = await checkLines(altered);
    assert.equal(other.status, 0, other.stderr);
    assert.notEqual(other.stdout, honest.stdout);
  }
});

/** `a`, `b.c`, … of every setting in a configuration; the policy's reasons count as one setting. */
function settingsOf(value: object, prefix = ""): string[] {
  return Object.entries(value).flatMap(([key, inner]) => {
    const isGroup =
      typeof inner === "object" && inner !== null && !Array.isArray(inner) && prefix + key !== "policy.actions";
    return isGroup ? settingsOf(inner as object, `${prefix}${key}.`) : [prefix + key];
  });
}

test("the documented configurations are valid, complete, and have the documented defaults", () => {
  const path = "docs/configuration.md";
  for (const [name, schema] of [
    ["agent", agentConfigSchema],
    ["verifier", verifierConfigSchema],
  ] as const) {
    const section = read(path)
      .split(/^## /m)
      .find((text) => text.startsWith(`The ${name}`))!;
    const [full] = blocks(path, `json ${name}`).map((text) => JSON.parse(text) as object);
    const [least] = blocks(path, `json ${name} least`).map((text) => JSON.parse(text) as object);
    schema.parse(full);
    const defaults: object = schema.parse(least);
    const rows = [...section.matchAll(/^\| `([A-Za-z.]+)` \| (.*?) \|/gm)].map(
      ([, key, value]) => [key!, value!] as const,
    );
    const settings = settingsOf(full!);
    assert.deepEqual(rows.map(([key]) => key).toSorted(), settings.toSorted(), `${name}: table and full example`);
    for (const key of [...settingsOf(defaults), ...Object.keys(schema.shape)])
      assert.ok(
        settings.some((setting) => setting === key || setting.startsWith(`${key}.`)),
        `${name}: ${key} is not described`,
      );
    for (const [key, written] of rows) {
      const value = key.split(".").reduce<unknown>((at, part) => Object(at)[part], defaults);
      const code = /^`(.*)`$/.exec(written)?.[1];
      if (code !== undefined) assert.deepEqual(value, JSON.parse(code), `${name}: default of ${key}`);
    }
  }
});

test("the documented ways to believe a block by seals are valid and complete", () => {
  const path = "docs/configuration.md";
  const examples = blocks(path, "json ledger").map((text) => JSON.parse(text) as object);
  assert.ok(examples.length > 0);
  for (const example of examples) ledgerSchema.parse(example);
  const section = read(path)
    .split(/^## /m)
    .find((text) => text.startsWith("Blocks proved by seals"))!;
  const rows = [...section.matchAll(/^\| `([A-Za-z.]+)` \|/gm)].map(([, key]) => key!);
  const settings = examples.flatMap((example) => settingsOf(example)).filter((key) => key.includes("."));
  assert.deepEqual(rows.toSorted(), settings.toSorted());
  const plain = ["url", "witnesses", "agree", "depth", "maxAgeMs", "holdMs", "registry"];
  for (const key of Object.keys(ledgerSchema.shape))
    assert.ok(plain.includes(key) || rows.some((row) => row.startsWith(`${key}.`)), `ledger.${key} is not described`);
});

test("every reason is described, and no other", () => {
  const described = [...read("docs/findings.md").matchAll(/^### `([a-z-]+)`$/gm)].map(([, reason]) => reason!);
  assert.deepEqual(described.toSorted(), [...REASONS].toSorted());
});

test("every command and option is described, and no other command", async () => {
  const text = read("docs/commands.md");
  const described = [...text.matchAll(/^### `pims ([a-z ]+)`$/gm)].map(([, command]) => command!);
  const found: string[] = [];
  const visit = async (words: string[]): Promise<void> => {
    const { stdout } = await promisify(execFile)(join(root, "bin/pims"), [...words, "--help"], { timeout: 60_000 });
    const [, list] = stdout.split(/^Commands:$/m);
    if (list === undefined) {
      found.push(words.join(" "));
      const section = text.split(/^### /m).find((part) => part.startsWith(`\`pims ${words.join(" ")}\``)) ?? "";
      for (const [, option] of stdout.matchAll(/^ {2}(--[a-z-]+)/gm))
        assert.ok(section.includes(`\`${option}`), `pims ${words.join(" ")} ${option} is not described`);
      return;
    }
    const names = [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name!).filter((name) => name !== "help");
    await Promise.all(names.map((name) => visit([...words, name])));
  };
  await visit([]);
  assert.ok(found.length > 10);
  assert.deepEqual(described.toSorted(), found.toSorted());
});

test("every relative link leads somewhere", () => {
  const documents = readdirSync(root)
    .filter((name) => !["node_modules", ".git", ".cache"].includes(name))
    .flatMap((name) =>
      statSync(join(root, name)).isDirectory()
        ? readdirSync(join(root, name), { recursive: true, encoding: "utf8" }).map((path) => join(name, path))
        : [name],
    )
    .filter((path) => path.endsWith(".md"));
  assert.ok(documents.length > 10);
  for (const document of documents) {
    for (const [, target] of read(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [path, anchor] = target!.split("#");
      const file = path === "" ? document : join(dirname(document), path!);
      assert.ok(existsSync(join(root, file)), `${document}: ${target} leads nowhere`);
      if (anchor === undefined) continue;
      const anchors = [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
        title!
          .toLowerCase()
          .replaceAll(/[^\w\s-]/g, "")
          .replaceAll(" ", "-"),
      );
      assert.ok(anchors.includes(anchor), `${document}: ${target} leads to no heading`);
    }
  }
});
