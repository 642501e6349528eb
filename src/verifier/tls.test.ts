// Who is spoken to: real TLS between the client's side and the service, and others in between.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { type AddressInfo, connect as connectPlain, createServer as createPlainServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect, createServer, type TlsOptions } from "node:tls";
import { promisify } from "node:util";
import { z } from "zod";
import { requestJson } from "../attest/http.ts";
import { temporaryFolder } from "../attest/testing.ts";
import { parseVerifierAddress } from "../attest/verifier-address.ts";
import { describeError, PimsError } from "../core/errors.ts";
import { parseCertificate } from "../tpm/certificate/certificate.ts";
import { verifierConfigSchema } from "./config.ts";
import { runVerifier } from "./run.ts";
import { openTlsIdentity, pinOfCertificate, TLS_FILE } from "./tls.ts";

const ledger = { url: "http://127.0.0.1:1", registry: `0x${"0".repeat(40)}` };
const TOKEN = "5e".repeat(32);
const any = z.unknown();

async function run(t: TestContext, listen: object = {}) {
  const state = await temporaryFolder(t);
  const verifier = await runVerifier(verifierConfigSchema.parse({ state, ledger, listen: { port: 0, ...listen } }));
  t.after(() => verifier.close());
  return { state, ...verifier, ...parseVerifierAddress(verifier.address) };
}

const ask = (address: string, timeoutMs = 5000) =>
  requestJson(address, "/v1/status", any, { method: "GET", token: TOKEN, timeoutMs });

/** One sentence with this code. */
const fails =
  (code: string, message = /./) =>
  (error: unknown) => {
    assert.ok(error instanceof PimsError && error.code === code, String(error));
    assert.match(describeError(error), message);
    assert.ok(!describeError(error).includes("\n"));
    return true;
  };

/** Sits between client and verifier with a key of its own, passes everything on, and keeps what it can read. */
async function inBetween(t: TestContext, target: string, tls: TlsOptions) {
  const { port } = new URL(target);
  const heard: Buffer[] = [];
  const server = createServer(tls, (socket) => {
    const onward = connect({ port: Number(port), host: "127.0.0.1", rejectUnauthorized: false });
    socket.on("data", (chunk) => heard.push(chunk));
    socket
      .on("error", () => {})
      .pipe(onward.on("error", () => {}))
      .pipe(socket);
    t.after(() => {
      socket.destroy();
      onward.destroy();
    });
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, heard: () => Buffer.concat(heard) };
}

test("the key is made once, for its owner's eyes only, and the certificate is one that others can read", async (t) => {
  const folder = await temporaryFolder(t);
  const all = await Promise.all(Array.from({ length: 8 }, () => openTlsIdentity(folder, undefined)));
  assert.equal(new Set(all.map(({ key }) => key)).size, 1, "of several starts one makes it");
  const path = join(folder, TLS_FILE);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(folder), [TLS_FILE]);
  assert.equal(await pinOfCertificate(path), all[0]!.pin);
  const openssl = (...args: string[]) => promisify(execFile)("openssl", args, { encoding: "buffer" });
  const { stdout: text } = await openssl("x509", "-in", path, "-noout", "-text");
  assert.match(
    text.toString(),
    /Version: 3[\s\S]*Not After : Dec 31 23:59:59 9999 GMT[\s\S]*DNS:localhost.*IP Address:127\.0\.0\.1/,
  );
  await openssl("verify", "-CAfile", path, path);
  const { stdout: der } = await openssl("x509", "-in", path, "-outform", "der");
  assert.equal(parseCertificate(new Uint8Array(der)).extensions.size, 1);
  // The pin as anybody computes it.
  const shell = `openssl x509 -in ${path} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64`;
  const { stdout: digest } = await promisify(execFile)("sh", ["-c", shell]);
  assert.equal(`sha256:${digest.trim()}`, all[0]!.pin);

  await writeFile(path, (await readFile(path, "utf8")).slice(0, 300));
  await assert.rejects(openTlsIdentity(folder, undefined), fails("tls-invalid"));
  await assert.rejects(
    openTlsIdentity(folder, { certificate: path, key: "/nowhere" }),
    fails("tls-invalid", /nowhere/),
  );
});

test("configured files are used, and refused when they do not belong together", async (t) => {
  const [one, two] = [await temporaryFolder(t), await temporaryFolder(t)];
  const { pin } = await openTlsIdentity(one, undefined);
  await openTlsIdentity(two, undefined);
  const [certificate, other] = [join(one, TLS_FILE), join(two, TLS_FILE)];
  const verifier = await run(t, { tls: { certificate, key: certificate } });
  assert.deepEqual(verifier.pins, [pin]);
  await ask(verifier.address);
  assert.deepEqual((await readdir(verifier.state)).includes(TLS_FILE), false);
  await assert.rejects(run(t, { tls: { certificate, key: other } }), fails("tls-invalid", /another key/));
});

test("whoever sits in between with another key is refused and hears nothing", async (t) => {
  const verifier = await run(t);
  await ask(verifier.address);
  const { key, certificate: cert, pin } = await openTlsIdentity(await temporaryFolder(t), undefined);
  const attacker = await inBetween(t, verifier.url, { key, cert });
  // Control: a client that pins the attacker is heard, so the ears work.
  await ask(`${attacker.url}#${pin}`);
  const control = attacker.heard();
  assert.ok(control.includes(TOKEN));
  for (const [pins, code] of [
    [`#${verifier.pins[0]}`, "verifier-pin"],
    ["", "verifier-certificate"],
  ] as const) {
    await assert.rejects(ask(`${attacker.url}${pins}`), fails(code));
    await assert.rejects(ask(`${attacker.url}${pins}`), fails(code));
  }
  assert.equal(attacker.heard().length, control.length, "not a byte more");
  await assert.rejects(
    ask(`${attacker.url}#${verifier.pins[0]}`),
    fails("verifier-pin", /another key.*sit in between/),
  );
  // While the key changes either will do.
  await ask(`${attacker.url}#${verifier.pins[0]},${pin}`);
  await ask(`${verifier.url}#${pin},${verifier.pins[0]}`);
  const near = verifier.pins[0]!.replace(/.(?==$)/, (last) => (last === "A" ? "E" : "A"));
  await assert.rejects(ask(`${verifier.url}#${near}`), fails("verifier-pin"));
});

test("TLS 1.3 or nothing, on both sides; without TLS only on loopback and when asked for", async (t) => {
  const verifier = await run(t);
  const older = connect({
    port: Number(new URL(verifier.url).port),
    host: "127.0.0.1",
    rejectUnauthorized: false,
    maxVersion: "TLSv1.2",
  });
  const [refusal] = (await once(older, "error")) as [NodeJS.ErrnoException];
  assert.match(refusal.code!, /PROTOCOL_VERSION|ECONNRESET/);
  const { key, certificate: cert, pin } = await openTlsIdentity(await temporaryFolder(t), undefined);
  const old = await inBetween(t, verifier.url, { key, cert, maxVersion: "TLSv1.2" });
  await assert.rejects(ask(`${old.url}#${pin}`), fails("verifier-unreachable"));
  assert.equal(old.heard().length, 0);
  await assert.rejects(ask(verifier.url.replace("https", "http")), fails("verifier-unreachable"));

  const plain = await run(t, { plain: true });
  assert.match(plain.address, /^http:\/\/127\.0\.0\.1:\d+$/);
  await ask(plain.address);
  await assert.rejects(ask(plain.address.replace("http", "https")), fails("verifier-unreachable"));
  for (const listen of [
    { plain: true, host: "0.0.0.0" },
    { plain: true, host: "192.0.2.1" },
    { plain: true, tls: { certificate: "a", key: "b" } },
  ])
    assert.equal(verifierConfigSchema.safeParse({ ledger, listen }).success, false, JSON.stringify(listen));
});

const PROGRAM = `
const { requestJson } = await import(process.argv[1]);
const ask = (address) => requestJson(address, "/v1/status", { safeParse: (data) => ({ success: true, data }) }, { method: "GET", timeoutMs: 5000 });
for (const address of process.argv.slice(2)) console.log(await ask(address).then(() => "answered", (error) => error.code));`;

test("without a pin the roots of the machine decide, and the name", async (t) => {
  const verifier = await run(t);
  const { port } = new URL(verifier.url);
  const args = ["--input-type=module", "-e", PROGRAM, join(import.meta.dirname, "../attest/http.ts")];
  const addresses = ["127.0.0.1", "localhost", "127.0.0.2"].map((host) => `https://${host}:${port}`);
  const answers = async (roots: string) => {
    const env = { ...process.env, SSL_CERT_FILE: roots, SSL_CERT_DIR: "/nowhere" };
    const { stdout } = await promisify(execFile)(process.execPath, [...args, ...addresses], { env });
    return stdout.trim().split("\n");
  };
  // On 127.0.0.2 nobody listens; the name in the certificate is tried below.
  const [one, two] = await answers(join(verifier.state, TLS_FILE));
  assert.deepEqual([one, two], ["answered", "answered"]);
  assert.deepEqual((await answers("/etc/hostname")).slice(0, 2), ["verifier-certificate", "verifier-certificate"]);

  const everywhere = await run(t, { host: "0.0.0.0" });
  addresses.splice(0, 3, `https://127.0.0.3:${new URL(everywhere.url).port}`);
  assert.deepEqual(
    await answers(join(everywhere.state, TLS_FILE)),
    ["verifier-certificate"],
    "a name that it does not have",
  );
});

test("connections are kept, and a handshake that hangs keeps nobody waiting", async (t) => {
  const verifier = await run(t);
  let count = 0;
  const sockets: Socket[] = [];
  const server = createPlainServer((socket) => {
    count++;
    const onward = connectPlain(Number(new URL(verifier.url).port), "127.0.0.1");
    sockets.push(socket, onward);
    socket
      .on("error", () => {})
      .pipe(onward.on("error", () => {}))
      .pipe(socket);
  });
  const silent = createPlainServer((socket) => void sockets.push(socket.on("error", () => {})));
  for (const one of [server, silent]) {
    one.listen(0, "127.0.0.1");
    await once(one, "listening");
  }
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    silent.close();
  });
  const at = (one: typeof server) => `https://127.0.0.1:${(one.address() as AddressInfo).port}#${verifier.pins[0]}`;
  for (let round = 0; round < 5; round++) await ask(at(server));
  assert.equal(count, 1);
  const started = performance.now();
  await assert.rejects(ask(at(silent), 300), fails("verifier-unreachable"));
  assert.ok(performance.now() - started < 5000);
});

test("what is no address of a verifier is refused before anything is sent", () => {
  const pin = `sha256:${"A".repeat(43)}=`;
  assert.deepEqual(parseVerifierAddress(`https://[::1]:7467/#${pin}`), { url: "https://[::1]:7467", pins: [pin] });
  assert.deepEqual(parseVerifierAddress("http://localhost:1"), { url: "http://localhost:1", pins: [] });
  for (const text of [
    "",
    "localhost",
    "ftp://a",
    "https://",
    "https://a/b",
    "https://user@a",
    "https://a?x",
    "https://a b",
    "https://a#",
    `https://a#${pin},`,
    `https://a#${pin}#${pin}`,
    `https://a#${pin.slice(0, -1)}`,
    `https://a#${pin.replace("sha256", "sha1")}`,
    `https://a#${Array(9).fill(pin).join(",")}`,
    `http://127.0.0.1:1#${pin}`,
    `https://${"a".repeat(70_000)}`,
    "https://a\r\nb",
  ])
    assert.throws(() => parseVerifierAddress(text), fails("address-invalid"), text.slice(0, 99));
  for (const text of ["http://a", "http://192.0.2.1:7467", "http://127.0.0.1.example", "http://[::2]"])
    assert.throws(() => parseVerifierAddress(text), fails("verifier-plain"), text);
});
