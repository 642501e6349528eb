// The HTTP interface: who may ask for what, and what hostile requests get.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import type { FastifyInstance } from "fastify";
import { challengeSchema } from "../attest/enrollment.ts";
import { type Evidence, MAX_EVIDENCE_BYTES } from "../attest/evidence.ts";
import { attestSchema, statusSchema } from "../attest/report.ts";
import { gapEvent, violationEvent } from "../attest/sample-events.ts";
import { TestHost } from "../attest/testing.ts";
import { printable, toHex } from "../core/bytes.ts";
import { buildApi } from "./api.ts";
import { Store } from "./store.ts";
import { Bench, enrolled, invitationOf, JOIN, OPERATOR, TPM, web } from "./testing.ts";

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

function apiOf(t: TestContext, bench: Bench): FastifyInstance {
  const app = buildApi(bench.verifier, bench.enrollment());
  t.after(() => app.close());
  return app;
}

interface Asked {
  readonly token?: string;
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Buffer;
}

/** One request that does not go through the network, and its answer: always JSON. */
async function ask(app: FastifyInstance, method: "GET" | "POST", url: string, { token, body, raw }: Asked = {}) {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  if (body !== undefined || raw !== undefined) headers["content-type"] = "application/json";
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
  return { status: answer.statusCode, json: JSON.parse(answer.body) as Record<string, unknown> };
}

/** A refusal is a code and one sentence of bounded length, without a stack or anything that moves a cursor. */
function refused({ status, json }: Awaited<ReturnType<typeof ask>>, expected: number, code: string): void {
  assert.deepEqual([status, json.error], [expected, code], JSON.stringify(json).slice(0, 300));
  const text = String(json.text);
  assert.ok(text.length > 5 && text.length < 400, text);
  assert.equal(printable(text), text);
  assert.doesNotMatch(text, /\bat .*:\d+|node:|\.ts\b/);
  assert.deepEqual(Object.keys(json), ["error", "text"]);
}

test("a host is enrolled with a join token only", async (t) => {
  const bench = await Bench.open(t);
  const app = apiOf(t, bench);
  const host = await TestHost.start(t);
  const ek = await host.showEk();
  const body = { host: "node1", akPublic: base64(host.akPublic), ekPublic: base64(ek.publicArea), ekCertificate: null };
  for (const token of [undefined, "", "00".repeat(32), JOIN.slice(1), JOIN.toUpperCase(), `${JOIN}0`])
    refused(
      await ask(app, "POST", "/v1/hosts", token === undefined ? { body } : { body, token }),
      401,
      "not-authorized",
    );
  assert.deepEqual(await bench.verifier.report(), []);
  const { status, json } = await ask(app, "POST", "/v1/hosts", { body, token: JOIN });
  assert.equal(status, 200);
  const challenge = challengeSchema.parse(json);
  const [idObject, encryptedSecret] = [challenge.idObject, challenge.encryptedSecret].map(
    (text) => new Uint8Array(Buffer.from(text, "base64")),
  ) as [Uint8Array, Uint8Array];
  const secret = toHex(await host.openCredential({ idObject, encryptedSecret }));
  const answer = { challenge: challenge.challenge, secret };
  const activate = (token: string) => ask(app, "POST", "/v1/hosts/node1/activate", { body: answer, token });
  refused(await activate("00".repeat(32)), 401, "not-authorized");
  const { json: activated } = await activate(JOIN);
  assert.equal(bench.verifier.isHostToken("node1", String(activated.token)), true);
  refused(await activate(JOIN), 403, "credential-invalid");

  for (const wrong of [{}, [], null, { ...body, host: 1 }, { ...body, akPublic: "*" }, { ...body, extra: 1 }])
    refused(await ask(app, "POST", "/v1/hosts", { body: wrong, token: JOIN }), 400, "request-malformed");
  const named = (name: string) => ask(app, "POST", "/v1/hosts", { body: { ...body, host: name }, token: JOIN });
  refused(await named("../../etc"), 400, "host-invalid");
  const key = { ...body, host: "node2", akPublic: base64(Buffer.alloc(90)) };
  refused(await ask(app, "POST", "/v1/hosts", { body: key, token: JOIN }), 400, "quote-invalid");
});

test("nonce, evidence and waiting take the host's own token and no other", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const neighbour = bench.verifier.enroll("node2", host.akPublic, TPM);
  const evidence = await bench.evidence(host);
  for (const wrong of [undefined, "", neighbour, JOIN, OPERATOR, token.slice(2), `${token} `]) {
    const shown = wrong === undefined ? {} : { token: wrong };
    refused(await ask(app, "POST", "/v1/hosts/node1/nonce", { ...shown, body: {} }), 401, "not-authorized");
    refused(await ask(app, "POST", "/v1/hosts/node1/evidence", { ...shown, body: evidence }), 401, "not-authorized");
    refused(await ask(app, "GET", "/v1/hosts/node1/wanted", shown), 401, "not-authorized");
  }
  refused(await ask(app, "POST", "/v1/hosts/nobody/nonce", { token, body: {} }), 401, "not-authorized");
  refused(await ask(app, "POST", "/v1/hosts/node1/attest", { token, body: {} }), 401, "not-authorized");
  assert.deepEqual(await bench.statuses(), ["good", "trusted"], "none of that counts against the host");
  const { json } = await ask(app, "POST", "/v1/hosts/node1/evidence", { token, body: evidence });
  assert.deepEqual(json, { accepted: true, records: 4 });
});

test("an invitation opens the enrollment of its host and nothing else", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const invited = await ask(app, "POST", "/v1/invitations", { token: OPERATOR, body: invitationOf("node2") });
  const invitation = String(invited.json.token);
  for (const wrong of [invitation, token, JOIN, OPERATOR.slice(1), `${OPERATOR}0`]) {
    refused(
      await ask(app, "POST", "/v1/invitations", { token: wrong, body: invitationOf("node3") }),
      401,
      "not-authorized",
    );
    refused(
      await ask(app, "POST", "/v1/hosts/node1/revoke", { token: wrong, body: { text: "x" } }),
      401,
      "not-authorized",
    );
    refused(await ask(app, "POST", "/v1/hosts/node1/attest", { token: wrong, body: {} }), 401, "not-authorized");
    refused(await ask(app, "POST", "/v1/hosts/node1/nonce", { token: invitation, body: {} }), 401, "not-authorized");
  }
  const ek = base64((await host.showEk()).publicArea);
  const shown = { host: "node3", akPublic: base64(host.akPublic), ekPublic: ek, ekCertificate: null };
  refused(await ask(app, "POST", "/v1/hosts", { token: invitation, body: shown }), 401, "not-authorized");
  refused(await ask(app, "POST", "/v1/hosts", { token: OPERATOR, body: shown }), 401, "not-authorized");
  for (const change of [
    { extra: 1 },
    { uncertified: 1 },
    { host: undefined },
    { host: "x".repeat(64) },
    { uses: 2 },
    { hours: 0 },
    { hours: 1e9 },
    { host: null, anew: true },
    { host: null, uses: 0 },
    { host: null, uses: 1e9 },
  ]) {
    const body = { ...invitationOf("node2"), ...change };
    refused(await ask(app, "POST", "/v1/invitations", { token: OPERATOR, body }), 400, "request-malformed");
  }
  refused(
    await ask(app, "POST", "/v1/hosts/nobody/revoke", { token: OPERATOR, body: { text: "x" } }),
    404,
    "host-unknown",
  );
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
});

test("a whole round over the interface; the same evidence again is refused", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const { json: given } = await ask(app, "POST", "/v1/hosts/node1/nonce", { token, body: {} });
  assert.equal(given.from, 3);
  const evidence = await host.answer(String(given.nonce), 3, violationEvent(web));
  const send = () => ask(app, "POST", "/v1/hosts/node1/evidence", { token, body: evidence });
  assert.deepEqual((await send()).json, { accepted: true, records: 5 });
  const again = await send();
  assert.deepEqual([again.status, again.json.accepted, again.json.reason], [200, false, "nonce-mismatch"]);

  const status = statusSchema.parse((await ask(app, "GET", "/v1/status")).json);
  assert.deepEqual(status.hosts, await bench.verifier.report());
  assert.deepEqual((await ask(app, "GET", "/v1/hosts/node1")).json, JSON.parse(JSON.stringify(status.hosts[0])));
  const { json } = await ask(app, "GET", "/v1/hosts/node1/records?from=3");
  assert.deepEqual(json.records, evidence.records);
});

test("malformed evidence is refused in one sentence, counts for nothing and leaves the nonce open", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const good = await bench.evidence(host);
  const url = "/v1/hosts/node1/evidence";
  const bodies: readonly Partial<Record<keyof Evidence, unknown>>[] = [
    ...[
      { ...good, nonce: 1 },
      { ...good, from: -1 },
      { ...good, records: [1] },
      { ...good, attest: "!" },
    ],
    ...[
      { ...good, extra: 1 } as Evidence,
      {},
      { ...good, records: "x" },
      { ...good, [`\u001b[2J${"x".repeat(1e6)}`]: 1 },
    ],
  ];
  for (const body of [...bodies, [], null, "text", 7])
    refused(await ask(app, "POST", url, { token, body }), 400, "evidence-malformed");
  const raws = ["{", "nothing", "", '{"nonce":"\u0001"}', `${"[".repeat(200_000)}`, '{"__proto__":{"a":1}}', "\ufeff{"];
  for (const raw of raws) refused(await ask(app, "POST", url, { token, raw }), 400, "request-malformed");
  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  refused(await ask(app, "POST", url, { token, raw: deep }), 400, "evidence-malformed");
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
  assert.deepEqual((await ask(app, "POST", url, { token, body: good })).json, { accepted: true, records: 4 });
});

test("a body over the limit is refused, with its length said or not", async (t) => {
  const { bench, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const raw = Buffer.alloc(MAX_EVIDENCE_BYTES + 1, " ");
  refused(await ask(app, "POST", "/v1/hosts/node1/evidence", { token, raw }), 413, "request-malformed");

  const address = new URL(await app.listen({ host: "127.0.0.1", port: 0 }));
  const socket = connect(Number(address.port), address.hostname);
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  const closed = once(socket, "close");
  let answer = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    answer += text;
  });
  socket.write(
    `POST /v1/hosts/node1/evidence HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n` +
      "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`;
  for (let sent = 0; sent <= MAX_EVIDENCE_BYTES; sent += 0x10000) socket.write(chunk);
  socket.end("0\r\n\r\n");
  await closed;
  assert.match(answer, /^HTTP\/1\.1 413 /);
});

test("a stranger's body is not even read", async (t) => {
  const { bench } = await enrolled(t);
  const app = apiOf(t, bench);
  for (const url of [
    "/v1/hosts",
    "/v1/hosts/node1/activate",
    "/v1/invitations",
    "/v1/hosts/node1/nonce",
    "/v1/hosts/node1/evidence",
    "/v1/hosts/node1/attest",
  ])
    for (const raw of ["{", Buffer.alloc(MAX_EVIDENCE_BYTES + 1, " ")])
      refused(await ask(app, "POST", url, { token: "00".repeat(32), raw }), 401, "not-authorized");
});

test("another kind of body, a foreign path, a foreign method and odd parameters are refused", async (t) => {
  const { bench, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const headers = { authorization: `Bearer ${token}`, "content-type": "text/xml" };
  const xml = await app.inject({ method: "POST", url: "/v1/hosts/node1/evidence", headers, payload: "<a/>" });
  refused({ status: xml.statusCode, json: JSON.parse(xml.body) }, 415, "request-malformed");
  for (const url of ["/", "/v1", `/v1/${"x".repeat(5000)}`, "/v1/hosts/node1/evidence", "/v1/%2e%2e/status"])
    refused(await ask(app, "GET", url), 404, "not-found");
  refused(await ask(app, "GET", "/v1/hosts/nobody"), 404, "host-unknown");
  refused(await ask(app, "GET", "/v1/hosts/nobody/records"), 404, "host-unknown");
  for (const query of ["from=-1", "from=x", "from=1.5", "from=1e300"])
    refused(await ask(app, "GET", `/v1/hosts/node1/records?${query}`), 400, "request-malformed");
  for (const waitMs of ["-1", "30001", "x"])
    refused(await ask(app, "GET", `/v1/hosts/node1/wanted?waitMs=${waitMs}`, { token }), 400, "request-malformed");
  for (const url of ["/v1/hosts/%ff", `/v1/hosts/%ff${"x".repeat(5000)}`])
    refused(await ask(app, "GET", url), 400, "request-malformed");
});

test("an error that nobody foresaw is told without its inside", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const app = apiOf(t, bench);
  const evidence = await bench.evidence(host, gapEvent("x"));
  bench.store.close();
  const answer = await ask(app, "POST", "/v1/hosts/node1/evidence", { token, body: evidence });
  refused(answer, 500, "internal");
  bench.store = Store.open(bench.path);
});

test("the agent's request for what is wanted is held until somebody asks for an attestation", async (t) => {
  const { bench, host, token } = await enrolled(t);
  const { promise: held, resolve } = Promise.withResolvers<void>();
  const wait = bench.verifier.waitForWanted.bind(bench.verifier);
  bench.verifier.waitForWanted = (...parameters) => {
    resolve();
    return wait(...parameters);
  };
  const url = await apiOf(t, bench).listen({ host: "127.0.0.1", port: 0 });
  const headers = { authorization: `Bearer ${token}` };
  let answered = false;
  const wanted = fetch(`${url}/v1/hosts/node1/wanted?waitMs=30000`, { headers })
    .then((response) => response.json())
    .finally(() => {
      answered = true;
    });
  await held;
  // Several round trips: a request that is not held would have its answer by now.
  for (let trips = 0; trips < 20; trips++) await (await fetch(`${url}/v1/status`)).text();
  assert.equal(answered, false);

  const asked = { method: "POST", headers: { authorization: `Bearer ${OPERATOR}` } };
  const attested = fetch(`${url}/v1/hosts/node1/attest?waitMs=30000`, asked).then((response) => response.json());
  assert.deepEqual(await wanted, { wanted: true, order: null });
  await bench.attest(host);
  const report = attestSchema.parse(await attested);
  assert.deepEqual(report.outcome, { accepted: true, records: 4 });
  assert.deepEqual(report.host, await bench.verifier.reportHost("node1"));
});

test("an agent that hangs up is not waited for any longer", async (t) => {
  const { bench, token } = await enrolled(t);
  const { promise: held, resolve: hold } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<boolean>();
  const wait = bench.verifier.waitForWanted.bind(bench.verifier);
  bench.verifier.waitForWanted = async (...parameters) => {
    hold();
    const wanted = await wait(...parameters);
    release(wanted);
    return wanted;
  };
  const url = await apiOf(t, bench).listen({ host: "127.0.0.1", port: 0 });
  const agent = new AbortController();
  const options = { headers: { authorization: `Bearer ${token}` }, signal: agent.signal };
  const wanted = fetch(`${url}/v1/hosts/node1/wanted?waitMs=30000`, options);
  await held;
  agent.abort();
  await assert.rejects(wanted);
  assert.equal(await released, false);
});

test("closing ends what is held", async (t) => {
  const { bench, token } = await enrolled(t);
  const { promise: held, resolve } = Promise.withResolvers<void>();
  const wait = bench.verifier.waitForWanted.bind(bench.verifier);
  bench.verifier.waitForWanted = (...parameters) => {
    resolve();
    return wait(...parameters);
  };
  const app = apiOf(t, bench);
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const headers = { authorization: `Bearer ${token}` };
  const wanted = fetch(`${url}/v1/hosts/node1/wanted?waitMs=30000`, { headers });
  const ended = assert.rejects(wanted);
  await held;
  await app.close();
  await ended;
});

test("asking for an attestation of a host that does not answer ends with none, and its report", async (t) => {
  const { bench } = await enrolled(t);
  const app = apiOf(t, bench);
  const { status, json } = await ask(app, "POST", "/v1/hosts/node1/attest?waitMs=0", { token: OPERATOR });
  assert.equal(status, 200);
  assert.equal(attestSchema.parse(json).outcome, null);
  refused(await ask(app, "POST", "/v1/hosts/nobody/attest", { token: OPERATOR }), 404, "host-unknown");
  assert.deepEqual(await bench.statuses(), ["good", "trusted"]);
});
