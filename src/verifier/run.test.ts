// The service as a whole: its folder, its port, and what a killed one leaves behind.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, stat, watch, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { nonceAnswerSchema, outcomeSchema } from "../attest/api.ts";
import { enrollHost } from "../attest/enroll-host.ts";
import { requestJson } from "../attest/http.ts";
import { hostReportSchema, statusSchema } from "../attest/report.ts";
import { containerOf, gapEvent, startEvent } from "../attest/sample-events.ts";
import { TestHost, temporaryFolder } from "../attest/testing.ts";
import { describeError, errorCode, PimsError } from "../core/errors.ts";
import type { Header } from "../ledger/header/block-header.ts";
import { startFrom } from "../ledger/header/clique-snapshot.ts";
import { writeSnapshot } from "../ledger/header/followed-chain.ts";
import { cliqueGenesis, nextClique } from "../ledger/header/testing-clique.ts";
import { testSigner, toBlock } from "../ledger/header/testing-sealed-headers.ts";
import { serve } from "../ledger/testing-endpoints.ts";
import { LEDGER_FOLLOWED_FILE, OPERATOR_TOKEN_FILE, type VerifierConfig, verifierConfigSchema } from "./config.ts";
import { type RunningVerifier, runVerifier } from "./run.ts";
import { joinToken } from "./testing.ts";

/** Nobody listens on port 1: a chain that does not answer. */
const ledger = { url: "http://127.0.0.1:1", registry: `0x${"0".repeat(40)}` };
const get = { method: "GET", timeoutMs: 10_000 } as const;
const configOf = (state: string, port = 0): VerifierConfig =>
  verifierConfigSchema.parse({ state, ledger, listen: { port }, enrollment: { uncertified: true } });

async function run(t: TestContext, config: VerifierConfig): Promise<RunningVerifier> {
  const running = await runVerifier(config);
  t.after(() => running.close().catch(() => undefined));
  return running;
}

const tokenIn = async (state: string) => (await readFile(join(state, OPERATOR_TOKEN_FILE), "utf8")).trim();

/** One sentence and what to do about it. */
const fails = (code: string) => (error: unknown) => {
  assert.ok(error instanceof PimsError && error.code === code, String(error));
  assert.ok(!describeError(error).includes("\n"));
  return true;
};

test("the first start makes folder and operator's token, for root's eyes only; the second finds them", async (t) => {
  const state = join(await temporaryFolder(t), "deep", "state");
  const first = await run(t, configOf(state));
  const token = await tokenIn(state);
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.equal((await stat(state)).mode & 0o777, 0o700);
  assert.equal((await stat(join(state, OPERATOR_TOKEN_FILE))).mode & 0o777, 0o600);
  const status = await requestJson(first.address, "/v1/status", statusSchema, get);
  assert.deepEqual([status.hosts, status.ledger?.problem?.code], [[], "ledger-unreachable"]);
  await first.close();
  await run(t, configOf(state));
  assert.equal(await tokenIn(state), token);
});

test("how far a Clique chain was followed is a private file: the database says nothing of its signers", async (t) => {
  const state = join(await temporaryFolder(t), "state");
  const [own, thieves] = [testSigner(31), testSigner(41)];
  const chainOf = async (signer: typeof own): Promise<Header[]> => {
    const headers = [cliqueGenesis([signer], { timestamp: Math.floor(Date.now() / 1000) - 30 })];
    while (headers.length < 5) headers.push(await nextClique(headers.at(-1)!, signer, [signer]));
    return headers;
  };
  const [chain, theirs] = [await chainOf(own), await chainOf(thieves)];
  let shown = theirs;
  const url = await serve(t, (body, response) => {
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    const number = params[0] === "latest" ? shown.length - 1 : Number(params[0]);
    const result =
      method === "eth_chainId" ? "0x7" : method === "eth_getBlockByNumber" ? toBlock(shown[number]!) : null;
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
  });
  await mkdir(state);
  const rules = { checkpoint: { number: 0, hash: chain[0]!.hash }, epoch: 30_000, periodMs: 1000 };
  const signers = startFrom(theirs[0]!, { ...rules, checkpoint: { number: 0, hash: theirs[0]!.hash } });
  const database = new DatabaseSync(join(state, "verifier.sqlite"));
  database.exec("CREATE TABLE ledger_followed (chain TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT");
  database
    .prepare("INSERT INTO ledger_followed VALUES (?, ?)")
    .run(`clique 0 ${chain[0]!.hash} 30000`, writeSnapshot(signers));
  database.close();
  const { registry } = ledger;
  const clique = { chainId: 7, ...rules };
  const config = verifierConfigSchema.parse({ state, ledger: { url, registry, clique }, listen: { port: 0 } });
  const ledgerOf = async ({ address }: RunningVerifier) =>
    (await requestJson(address, "/v1/status", statusSchema, get)).ledger!;
  const first = await run(t, config);
  const { problem, block } = await ledgerOf(first);
  assert.match(problem!.text, /it is not the checkpoint/);
  assert.equal(block, null);
  await first.close();
  shown = chain;
  const second = await ledgerOf(await run(t, config));
  assert.deepEqual([second.problem, second.block?.hash], [null, chain.at(-2)!.hash]);
  assert.equal((await stat(join(state, LEDGER_FOLLOWED_FILE))).mode & 0o777, 0o600);
});

test("a port in use, an address that is not ours, a damaged token or database: one sentence, and it can start later", async (t) => {
  const folder = await temporaryFolder(t);
  const state = join(folder, "state");
  const server = createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await assert.rejects(runVerifier(configOf(state, port)), fails("port-in-use"));
  const foreign = verifierConfigSchema.parse({ state, ledger, listen: { host: "192.0.2.1", port: 0 } });
  await assert.rejects(runVerifier(foreign), fails("port-in-use"));

  const token = await tokenIn(state);
  await writeFile(join(state, OPERATOR_TOKEN_FILE), "short");
  await assert.rejects(runVerifier(configOf(state)), fails("token-invalid"));
  await writeFile(join(state, OPERATOR_TOKEN_FILE), `${token}\n`);
  await (await run(t, configOf(state))).close();

  const other = join(folder, "other");
  await mkdir(other);
  await writeFile(join(other, "verifier.sqlite"), "no database".repeat(1000));
  await assert.rejects(runVerifier(configOf(other)), fails("store-unusable"));
});

test("a chain that does not answer stops nothing; its containers are unknown", async (t) => {
  const state = await temporaryFolder(t);
  const { address } = await run(t, configOf(state));
  const host = await TestHost.start(t);
  const agent = await enroll(address, state, host);
  const { nonce, from } = await agent.nonce();
  const evidence = await host.answer(nonce, from, startEvent(containerOf("web")));
  assert.deepEqual(await agent.send(evidence), { accepted: true, records: 3 });
  const report = await requestJson(address, "/v1/hosts/node1", hostReportSchema, get);
  assert.deepEqual(
    report.containers.map(({ status, reasons }) => [status, reasons.map(({ reason }) => reason)]),
    [["unknown", ["ledger-unverified"]]],
  );
});

interface Agent {
  nonce(): Promise<{ nonce: string; from: number }>;
  send(evidence: unknown): Promise<unknown>;
}

/** The agent's side of the interface. */
function agentOf(address: string, token: string): Agent {
  const request = { method: "POST", token, timeoutMs: 10_000 } as const;
  return {
    nonce: () => requestJson(address, "/v1/hosts/node1/nonce", nonceAnswerSchema, { ...request, body: {} }),
    send: (body) => requestJson(address, "/v1/hosts/node1/evidence", outcomeSchema, { ...request, body }),
  };
}

async function enrollToken(address: string, state: string, host: TestHost): Promise<string> {
  return enrollHost(address, "node1", host, await joinToken({ address }, state, "node1"));
}

async function enroll(address: string, state: string, host: TestHost): Promise<Agent> {
  return agentOf(address, await enrollToken(address, state, host));
}

const PROGRAM = `
const { runVerifier } = await import(process.argv[1]);
process.stdout.write((await runVerifier(JSON.parse(process.argv[2]))).address + "\\n");`;

/** Resolves as soon as the database's journal was written to so many times, or when `signal` says that it is too late. */
async function writes(state: string, count: number, signal: AbortSignal): Promise<void> {
  try {
    for await (const { filename } of watch(state, { signal })) if (filename?.endsWith("-wal") && --count <= 0) return;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** A verifier in a process of its own. */
async function spawnVerifier(
  t: TestContext,
  config: VerifierConfig,
): Promise<{ address: string; kill(): Promise<void> }> {
  const args = ["--input-type=module", "-e", PROGRAM, join(import.meta.dirname, "run.ts"), JSON.stringify(config)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const kill = async () => {
    child.kill("SIGKILL");
    await exit;
  };
  t.after(kill);
  const [address] = await once(createInterface({ input: child.stdout }), "line");
  return { address: String(address), kill };
}

test("killed at any instant, it goes on where the proof stood, and loses nothing that it answered for", async (t) => {
  const state = await temporaryFolder(t);
  const host = await TestHost.start(t);
  let verifier = await spawnVerifier(t, configOf(state));
  const token = await enrollToken(verifier.address, state, host);
  let proved = 0;
  for (let round = 0; round < 8; round++) {
    const agent = agentOf(verifier.address, token);
    const { nonce, from } = await agent.nonce();
    assert.ok(from === proved || from === host.log.length, `${from} records after ${proved}`);
    const evidence = await host.answer(nonce, from, gapEvent(`round ${round}`));
    const sent = agent.send(evidence).catch((error: unknown) => errorCode(error));
    // Before it has read the evidence; then in the midst of a write to its database; at last after its answer.
    const instant = new AbortController();
    if (round > 0) await Promise.race(round < 7 ? [sent, writes(state, round, instant.signal)] : [sent]);
    await verifier.kill();
    instant.abort();
    const answer = await sent;
    if (answer === "verifier-unreachable") proved = from;
    else {
      assert.deepEqual(answer, { accepted: true, records: host.log.length });
      proved = host.log.length;
    }
    verifier = await spawnVerifier(t, configOf(state));
  }
  const agent = agentOf(verifier.address, token);
  const { nonce, from } = await agent.nonce();
  assert.deepEqual(await agent.send(await host.answer(nonce, from)), { accepted: true, records: host.log.length });
  const report = await requestJson(verifier.address, "/v1/hosts/node1", hostReportSchema, get);
  assert.deepEqual([report.evidence, report.records], ["good", host.log.length]);
});
