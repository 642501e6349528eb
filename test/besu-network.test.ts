// deploy/besu-qbft, as far as it can be tried without Besu.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { jwtVerify } from "jose";
import { fromRlp, type Hex } from "viem";
import { qbftExtraData, qbftGenesis } from "../deploy/besu-qbft/make-genesis.ts";
import { operatorToken } from "../deploy/besu-qbft/operator-token.ts";
import { freePort } from "../scripts/free-port.ts";
import { approveBaseline } from "../src/ledger/approve.ts";
import { ledgerSchema } from "../src/ledger/config.ts";
import { deployContract, deployRegistry } from "../src/ledger/deploy.ts";
import { anvilBinary } from "../src/ledger/embedded/anvil-binary.ts";
import { createKey } from "../src/ledger/keys/keys.ts";
import { proposeBaseline } from "../src/ledger/propose.ts";
import { readBaseline } from "../src/ledger/read-baseline.ts";
import { openRpc } from "../src/ledger/rpc/rpc.ts";
import { testIdentity, testLines } from "../src/ledger/testing.ts";
import { temporaryFolder } from "./pims.ts";

const ROOT = join(import.meta.dirname, "..");
const FOLDER = join(ROOT, "deploy/besu-qbft");
const read = (name: string): string => readFileSync(join(FOLDER, name), "utf8");
const readme = read("README.md");

/** The four of the example in Besu's documentation of QBFT, and what `besu rlp encode` makes of them in this order. */
const VALIDATORS = [
  "0x4592c8e45706cc08b8f44b11e43cba0cfc5892cb",
  "0x06e23768a0f59cf365e18c2e0c89e151bcdedc70",
  "0xc5327f96ee02d7bcbc1bf1236b8c15148971e1de",
  "0xab5e7f4061c605820d3744227eed91ff8e2c8908",
];
const DOCUMENTED: Hex = `0xf87aa0${"0".repeat(64)}f85494${VALIDATORS.map((text) => text.slice(2)).join("94")}c080c0`;

test("the validators in a genesis block are encoded as Besu's documentation has it, in rising order", () => {
  const ours = fromRlp(qbftExtraData(VALIDATORS));
  const [vanity, validators, vote, round, seals] = fromRlp(DOCUMENTED) as [Hex, Hex[], Hex[], Hex, Hex[]];
  assert.deepEqual(ours, [vanity, validators.toSorted(), vote, round, seals]);
  assert.equal(qbftExtraData(VALIDATORS).length, DOCUMENTED.length);
  assert.equal(
    qbftExtraData(VALIDATORS.toReversed()),
    qbftExtraData(VALIDATORS),
    "the order in which they are given says nothing",
  );
  assert.throws(() => qbftExtraData(VALIDATORS.slice(1)), /at least 4/);
  assert.throws(() => qbftExtraData([...VALIDATORS, VALIDATORS[0]!.toUpperCase().replace("0X", "0x")]), /twice/);
  assert.throws(() => qbftExtraData([...VALIDATORS, "0x12"]), /not an address: 0x12/);
  assert.throws(() => qbftGenesis(0, VALIDATORS), /chain id/);
});

async function reach(url: string, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline && child.exitCode === null; await sleep(50))
    if (
      await openRpc(url)
        .call("eth_chainId", [])
        .catch(() => undefined)
    )
      return;
  assert.fail("the chain with this genesis does not start");
}

test("a chain with this genesis, on which nobody owns anything, takes the contracts and an approved baseline", async (t) => {
  const path = join(temporaryFolder(t), "genesis.json");
  const made = spawnSync(process.execPath, [join(FOLDER, "make-genesis.ts"), "20261", ...VALIDATORS], {
    encoding: "utf8",
  });
  assert.equal(made.status, 0, made.stderr);
  assert.deepEqual(JSON.parse(made.stdout), qbftGenesis(20_261, VALIDATORS));
  writeFileSync(path, made.stdout);
  const port = await freePort();
  // It takes the chain's number and the base fee from the file, but not the limit.
  const { gasLimit } = JSON.parse(made.stdout) as { gasLimit: string };
  const gas = [
    "--gas-limit",
    `${Number(gasLimit)}`,
    "--accounts",
    "0",
    "--gas-price",
    "0",
    "--disable-min-priority-fee",
  ];
  const child = spawn(anvilBinary(), ["--init", path, "--hardfork", "london", "--port", `${port}`, "--quiet", ...gas], {
    stdio: "ignore",
  });
  t.after(() => child.kill("SIGKILL"));
  const url = `http://127.0.0.1:${port}`;
  await reach(url, child);
  const rpc = openRpc(url);
  const block = (await rpc.call("eth_getBlockByNumber", ["0x0", false])) as Record<string, string>;
  assert.equal(Number(block.baseFeePerGas), 0);
  assert.equal(Number(await rpc.call("eth_chainId", [])), 20_261);
  const [deployerKey, a, b, c] = [createKey(), createKey(), createKey(), createKey()];
  const publishers = [a, b, c].map(({ address }) => address);
  const { address } = await deployRegistry({ url, deployerKey, publishers, quorum: 2 });
  for (const name of ["Checkpoints", "HostRegistry"] as const) await deployContract(name, { url, deployerKey });
  const place = { url, registry: address };
  const { id } = await proposeBaseline({ ...place, key: a, lines: testLines("four", 500) });
  await approveBaseline({ ...place, key: b, id });
  assert.equal((await readBaseline({ ...place, identity: testIdentity("four") })).status, "approved");
});

/** What is in capitals in a file: what its reader has to fill in. */
const placeholders = (text: string): string[] => {
  const found = text
    .split("\n")
    .filter((line) => !/^\s*#/.test(line))
    .flatMap((line) => line.match(/\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b|\b(DEPLOYER|VERIFIER)\b/g) ?? []);
  return [...new Set(found)].filter((name) => !/^(CAP_|AF_|JAVA_OPTS)/.test(name));
};
const FILES = ["config.toml", "permissions.toml", "static-nodes.json", "nginx.conf"];

/** The table's rows name the first and the last of a row of placeholders. */
function documented(): string[] {
  return [...readme.matchAll(/^ {3}\| `([A-Z_0-9]+)`(?: … `([A-Z_0-9]+)`)? \|/gm)].flatMap(([, first, last]) => {
    if (last === undefined) return [first!];
    const [from, to] = [first!, last].map((name) => Number(/\d/.exec(name)![0]));
    return Array.from({ length: to! - from! + 1 }, (_, index) => first!.replace(/\d/, `${from! + index}`));
  });
}

test("every placeholder is explained, and nothing is that is none", () => {
  const used = FILES.flatMap((name) => placeholders(read(name)));
  assert.ok(used.length > 10);
  assert.deepEqual([...new Set(used)].sort(), documented().sort());
});

function parseToml(text: string): Record<string, unknown> {
  const program = "import json,sys,tomllib; print(json.dumps(tomllib.loads(sys.stdin.read())))";
  const { status, stdout, stderr } = spawnSync("python3", ["-c", program], { input: text, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}
const filled = (name: string): string => read(name).replaceAll("CHAIN_ID", "20261");

/** Of Besu's own list of all its options, app/src/test/resources/everything_config.toml, those that are used here. */
const OPTIONS = `
  bonsai-historical-block-limit bonsai-limit-trie-logs-enabled data-path data-storage-format discovery-enabled genesis-file
  history-expiry-prune host-allowlist logging max-peers metrics-enabled metrics-host metrics-port min-gas-price nat-method
  network-id node-private-key-file p2p-host p2p-port permissions-accounts-config-file permissions-accounts-config-file-enabled
  permissions-nodes-config-file permissions-nodes-config-file-enabled rpc-gas-cap rpc-http-api rpc-http-api-methods-no-auth
  rpc-http-authentication-enabled rpc-http-authentication-jwt-algorithm rpc-http-authentication-jwt-public-key-file
  rpc-http-enabled rpc-http-host rpc-http-max-batch-size rpc-http-max-request-content-length rpc-http-port rpc-max-logs-range
  static-nodes-file sync-mode target-gas-limit tx-pool
`;

test("the files have their form, and only options that Besu has", () => {
  const config = parseToml(filled("config.toml"));
  const known = OPTIONS.trim().split(/\s+/);
  const given = [...Object.keys(config), "node-private-key-file"];
  assert.deepEqual(given.sort(), known.sort());
  assert.equal(config["rpc-http-host"], "127.0.0.1");
  assert.equal(config["metrics-host"], "127.0.0.1");
  assert.equal(config["history-expiry-prune"], false, "entries are in old receipts");
  const { qbft } = (qbftGenesis(1, VALIDATORS) as { config: { qbft: { blockperiodseconds: number } } }).config;
  assert.equal(qbft.blockperiodseconds, 5, "the README's times are counted in blocks of five seconds");
  const permissions = parseToml(read("permissions.toml"));
  assert.deepEqual(Object.keys(permissions).sort(), ["accounts-allowlist", "nodes-allowlist"]);
  assert.deepEqual(JSON.parse(read("static-nodes.json")), permissions["nodes-allowlist"]);
  for (const option of ["permissions-accounts-config-file-enabled", "permissions-nodes-config-file-enabled"])
    assert.equal(config[option], true);
  assert.deepEqual(
    readdirSync(FOLDER).sort(),
    [...FILES, "README.md", "alerts.yml", "besu.service", "make-genesis.ts", "operator-token.ts"].sort(),
  );
});

test("Besu serves without a token exactly the methods that PIMS calls", () => {
  // The embedded chain's own side, and the remote signer, are no endpoints of a chain.
  const others = ["front.ts", "embedded-chain.ts", "remote-signer.ts", "anvil-process.ts"];
  const called = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter(
      (path) =>
        path.endsWith(".ts") && !/\.test\.ts$|(^|\/)testing/.test(path) && !others.includes(path.split("/").at(-1)!),
    )
    .flatMap(
      (path) =>
        readFileSync(join(ROOT, "src", path), "utf8").match(/(?<=")(eth|net|web3|debug|qbft|clique)_[A-Za-z]+(?=")/g) ??
        [],
    );
  const expected = [...new Set(called)].sort();
  const served = parseToml(filled("config.toml"))["rpc-http-api-methods-no-auth"] as string[];
  assert.deepEqual(served, expected, "change config.toml and the README's list when the client calls another method");
  const [, list] = /served without a token: ([\s\S]*?)\. Only/.exec(readme)!;
  assert.deepEqual(
    [...list!.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    expected,
  );
});

test("the README's configuration is one that the verifier takes, with the seals of as many validators", () => {
  const [, json] = /```json\n([\s\S]*?)```/.exec(readme)!;
  const { validators, maxAgeMs } = ledgerSchema.parse(JSON.parse(json!).ledger);
  assert.deepEqual([validators?.kind, validators?.addresses.length, maxAgeMs], ["qbft", VALIDATORS.length, 60_000]);
});

test("the unit is one that systemd takes, and shuts the service in", (t) => {
  const unit = join(FOLDER, "besu.service");
  const run = (...options: string[]) => spawnSync("systemd-analyze", options, { encoding: "utf8" });
  if (run("--version").status !== 0) return t.skip("systemd-analyze is not installed");
  const { stderr } = run("verify", unit);
  const complaints = stderr
    .split("\n")
    .filter((line) => line.includes("besu.service") && !line.includes("/opt/besu/bin/besu is not executable"));
  assert.deepEqual(complaints, []);
  const { status, stdout } = run("security", "--offline=yes", "--threshold=20", unit);
  assert.equal(status, 0, stdout);
  assert.match(read("besu.service"), /^LoadCredential=key:\/etc\/besu\/key$/m);
});

test("an operator's token says what its bearer may, for ten minutes", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const now = Date.now();
  const token = operatorToken(privateKey, ["qbft:*", "admin:peers"], now);
  const { payload } = await jwtVerify(token, createPublicKey(privateKey), { algorithms: ["ES256"] });
  assert.deepEqual(payload.permissions, ["qbft:*", "admin:peers"]);
  assert.equal(payload.exp, Math.floor(now / 1000) + 600);
  assert.throws(() => operatorToken(privateKey, ["*"], now), /a permission looks like/);
  assert.throws(() => operatorToken(privateKey, [], now), /a permission looks like/);
  const other = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
  assert.throws(() => operatorToken(other.privateKey, ["qbft:*"], now), /P-256/);
});
