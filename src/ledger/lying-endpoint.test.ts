import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { after, before, type TestContext, test } from "node:test";
import { deflateSync } from "node:zlib";
import { bytesToHex, encodeAbiParameters, parseAbiParameters } from "viem";
import { describeError, PimsError } from "../core/errors.ts";
import { approveBaseline } from "./approve.ts";
import { proposeBaseline } from "./propose.ts";
import { readBaseline } from "./read-baseline.ts";
import { ending, startTestLedger, type TestLedger, testActions, testIdentity, testLines } from "./testing.ts";
import { type Lie, lieAbout, pour, serve } from "./testing-endpoints.ts";

const file = ending();
after(() => file.end());
let ledger: TestLedger;
let id: string;

before(async () => {
  ledger = await startTestLedger(file);
  const actions = testActions(ledger.place);
  ({ id } = await actions.propose(ledger.publishers[0], testLines("target", 2000)));
  await actions.approve(ledger.publishers[1], id);
});

const lyingEndpoint = (t: TestContext, lie: Lie): Promise<string> => lieAbout(t, ledger.chain.url, lie);

const readFrom = (url: string, timeoutMs = 5000) =>
  readBaseline({ url, timeoutMs, registry: ledger.place.registry, identity: testIdentity("target") });

const asLogs = (result: unknown) => result as { data: string; address: string; topics: string[] }[];
const flip = (hex: string, at: number) => `${hex.slice(0, at)}${hex[at] === "0" ? "1" : "0"}${hex.slice(at + 1)}`;

test("through an endpoint that changes nothing, the baseline is read", async (t) => {
  const read = await readFrom(await lyingEndpoint(t, (_, result) => result));
  assert.equal(read.status, "approved");
});

test("an altered piece of entry data is refused, wherever it is altered", async (t) => {
  for (const at of [2 + 128 + 10, 5000, 100_000]) {
    const url = await lyingEndpoint(t, (method, result) =>
      method === "eth_getLogs" ? asLogs(result).map((log) => ({ ...log, data: flip(log.data, at) })) : result,
    );
    await assert.rejects(readFrom(url), { code: "baseline-altered" });
    const sign = approveBaseline({ url, registry: ledger.place.registry, key: ledger.publishers[2], id });
    await assert.rejects(sign, { code: "baseline-altered" }, "and nobody signs it");
  }
});

test("the same lines compressed otherwise are not what was signed", async (t) => {
  const actions = testActions(ledger.place);
  const lines = testLines("compressed", 20);
  const { id } = await actions.propose(ledger.publishers[0], lines);
  await actions.approve(ledger.publishers[1], id);
  const other = bytesToHex(deflateSync(`${lines.join("\n")}\n`, { level: 1 }));
  const data = encodeAbiParameters(parseAbiParameters("bytes"), [other]);
  const url = await lyingEndpoint(t, (method, result) =>
    method === "eth_getLogs" ? asLogs(result).map((log) => ({ ...log, data })) : result,
  );
  const read = readBaseline({ url, registry: ledger.place.registry, identity: testIdentity("compressed") });
  await assert.rejects(read, { code: "baseline-altered", message: /entry data/ });
});

test("pieces that are missing, doubled, exchanged, cut or of no form are refused", async (t) => {
  const first: { result?: unknown } = {};
  const lies: [string, (result: unknown) => unknown][] = [
    ["ledger-unverified", () => []],
    ["ledger-unverified", (result) => [...asLogs(result), ...asLogs(result)]],
    ["ledger-unverified", () => null],
    ["ledger-unverified", () => [{}]],
    ["ledger-unverified", (result) => asLogs(result).map((log) => ({ ...log, data: log.data.slice(0, -64) }))],
    ["ledger-unverified", (result) => asLogs(result).map((log) => ({ ...log, data: log.data.slice(0, -1) }))],
    ["ledger-unverified", (result) => asLogs(result).map((log) => ({ ...log, data: "0x" }))],
    ["ledger-unverified", (result) => asLogs(result).map((log) => ({ ...log, data: 5 }))],
    ["baseline-altered", (result) => (first.result ??= result)],
  ];
  for (const [code, lie] of lies) {
    const url = await lyingEndpoint(t, (method, result) => (method === "eth_getLogs" ? lie(result) : result));
    await assert.rejects(readFrom(url), { code }, lie.toString());
  }
});

test("endless, oversized, slow, broken and foreign answers end with one clear error", {
  timeout: 60_000,
}, async (t) => {
  const forms: [string, string, (response: ServerResponse) => unknown][] = [
    ["ledger-unverified", "not JSON", (response) => response.end("<html>hello</html>")],
    ["ledger-unverified", "nothing", (response) => response.end()],
    ["ledger-unverified", "another shape", (response) => response.end('{"jsonrpc":"2.0","id":1}x')],
    ["ledger-unverified", "an array", (response) => response.end("[]")],
    ["ledger-unverified", "another id", (response) => response.end('{"jsonrpc":"2.0","id":999,"result":"0x1"}')],
    ["ledger-unverified", "no quantity", (response) => response.end('{"jsonrpc":"2.0","id":1,"result":"0xzz"}')],
    ["ledger-unverified", "not UTF-8", (response) => response.end(Buffer.from([0x22, 0xff, 0x22]))],
    ["ledger-unverified", "404", (response) => response.writeHead(404).end("{}")],
    ["ledger-unreachable", "503", (response) => response.writeHead(503).end("{}")],
    ["ledger-unreachable", "a redirect", (response) => response.writeHead(302, { location: ledger.chain.url }).end()],
    [
      "ledger-unreachable",
      "cut off",
      (response) => response.writeHead(200, { "content-length": 100 }).write("{", () => response.destroy()),
    ],
    ["ledger-unreachable", "silence", () => undefined],
    ["ledger-unverified", "gigabytes", (response) => pour(response)],
  ];
  for (const [code, name, answer] of forms) {
    const url = await serve(t, (_, response) => void answer(response));
    await assert.rejects(readFrom(url, 500), { code }, name);
  }
});

test("a chain that is not there is one sentence and what to do", async () => {
  await assert.rejects(readFrom("http://127.0.0.1:1"), (error: unknown) => {
    assert.ok(error instanceof PimsError && error.code === "ledger-unreachable");
    assert.equal(
      describeError(error),
      "the chain at http://127.0.0.1:1 does not answer: start it (pims ledger start) or give the address of a running one",
    );
    return true;
  });
  await assert.rejects(readFrom("not a url"), { code: "ledger-unreachable" });
  await assert.rejects(readFrom("file:///etc/passwd"), { code: "ledger-unreachable" });
});

test("an address without this contract, or no identity is said", async () => {
  const identity = testIdentity("target");
  const { url, registry } = ledger.place;
  const nobody = ledger.deployer.address;
  await assert.rejects(readBaseline({ url, registry: nobody, identity }), { code: "ledger-no-registry" });
  await assert.rejects(readBaseline({ url, registry: "0x12", identity }), { code: "address-malformed" });
  await assert.rejects(readBaseline({ url, registry, identity: "latest" }), { code: "identity-malformed" });
});

test("no endpoint can make a key pay any price, or believe in a transaction that was not its own", async (t) => {
  const lies: Record<string, unknown> = {
    eth_gasPrice: "0xffffffffffffff",
    eth_estimateGas: "0xffffffff",
    eth_getTransactionCount: "0xffffffffffffffff",
    eth_sendRawTransaction: `0x${"7".repeat(64)}`,
    eth_getTransactionReceipt: { status: "0x1" },
  };
  for (const [method, told] of Object.entries(lies)) {
    const url = await lyingEndpoint(t, (asked, result) => (asked === method ? told : result));
    const place = { url, registry: ledger.place.registry, key: ledger.publishers[0] };
    await assert.rejects(proposeBaseline({ ...place, lines: testLines(`pay ${method}`, 1) }), {
      code: "ledger-unverified",
    });
  }
});
