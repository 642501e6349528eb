// A verifier with a chain and a certified TPM, and both checkers of its bundles.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { VerifierClient } from "../src/agent/verifier-client.ts";
import { type Bundle, parseBundle } from "../src/attest/bundle.ts";
import { collectEvidence } from "../src/attest/collect.ts";
import { codeEvent, containerOf, startEvent, sweepEvent } from "../src/attest/sample-events.ts";
import { type Consensus, sealedBlocks } from "../src/attest/sealed-blocks.ts";
import { TestHost } from "../src/attest/testing.ts";
import { verifyBundle } from "../src/attest/verify-bundle.ts";
import { fromHex } from "../src/core/bytes.ts";
import { sha256Hex } from "../src/core/digest.ts";
import type { PimsError } from "../src/core/errors.ts";
import { deployContract } from "../src/ledger/deploy.ts";
import { generateKeyFile } from "../src/ledger/keys/keys.ts";
import {
  type Ending,
  startTestLedger,
  type TestLedger,
  temporaryFolder,
  testActions,
  testIdentity,
  testLines,
} from "../src/ledger/testing.ts";
import type { LogEvent } from "../src/log/event.ts";
import { MeasurementLog } from "../src/log/measurement-log.ts";
import { createAk } from "../src/tpm/attestation-key.ts";
import { computeName } from "../src/tpm/name.ts";
import { NvRegister } from "../src/tpm/nv-register.ts";
import { setUpSwtpm } from "../src/tpm/swtpm-setup.ts";
import { OPERATOR_TOKEN_FILE, verifierConfigSchema } from "../src/verifier/config.ts";
import { runVerifier } from "../src/verifier/run.ts";
import { joinToken } from "../src/verifier/testing.ts";
import { pimsMeanwhile } from "./pims.ts";

const SCRIPT = join(import.meta.dirname, "../docs/verify-bundle.py");
/** The first library of `testLines`. */
export const LIBRARY = "/usr/lib/lib000000.so";
export const listed = { path: LIBRARY, dev: "0:42", ino: "77", digest: sha256Hex("file 0") };

/** Runs the script on each of these lists of arguments, as if it were started for each. */
const RUN_EACH = `
import contextlib, io, json, runpy, sys
for arguments in json.load(sys.stdin):
    sys.argv = [${JSON.stringify(SCRIPT)}, *arguments]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code)
            status = 1 if isinstance(end.code, str) else end.code
    print(json.dumps([status, said.getvalue()]))
`;

export async function script(runs: readonly (readonly string[])[]): Promise<{ status: number; text: string }[]> {
  const child = spawn("python3", ["-c", RUN_EACH], { stdio: ["pipe", "pipe", "inherit"], timeout: 60_000 });
  child.stdin.end(JSON.stringify(runs));
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  assert.deepEqual(await once(child, "close"), [0, null]);
  const lines = stdout.trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as [number, string]).map(([status, text]) => ({ status, text }));
}

const STATUS = { trusted: 0, unknown: 3, untrusted: 2 };

async function verdictOf(path: string, anchors: readonly string[]): Promise<{ status: number; text: string }> {
  const given = (option: string) => anchors.flatMap((one) => (one.startsWith(option) ? one.slice(option.length) : []));
  const [[reporter], [contract]] = [given("--reporter="), given("--checkpoints=")];
  const known = {
    keys: given("--ak="),
    baselines: given("--baseline="),
    verifiers: given("--verifier-key="),
    blocks: given("--block="),
    registries: given("--registry="),
    checkpoints: reporter === undefined || contract === undefined ? null : { contract, reporter },
    roots: null,
    undated: anchors.includes("--undated"),
  };
  try {
    const bundle = parseBundle(new Uint8Array(await readFile(path)));
    const addresses = given("--validator=");
    const [consensus] = given("--consensus=") as Consensus[];
    const [chainId = ""] = given("--chain-id=");
    const validators = consensus === undefined ? null : await sealedBlocks(bundle, { consensus, addresses });
    const [maxAge = "300"] = given("--max-block-age=");
    const maxAgeSeconds = maxAge === "unlimited" ? null : Number(maxAge);
    const sealed = validators && { hashes: validators.hashes, chainId, maxAgeSeconds };
    const report = verifyBundle(bundle, { ...known, sealed });
    return { status: STATUS[report.verdict], text: JSON.stringify(report) };
  } catch (error) {
    assert.equal((error as PimsError).code, "bundle-malformed");
    return { status: 1, text: (error as PimsError).message };
  }
}

export const NV_INDEX = 0x01800040;

/** A host's log in an NV index instead of a PCR: answers nonces as `TestHost` does. */
async function inNvIndex(t: Ending, { tpm }: TestHost, folder: string): Promise<TestHost["answer"]> {
  const nv = new NvRegister(tpm, NV_INDEX);
  const ak = await createAk(tpm);
  const register = {
    pcr: NV_INDEX,
    read: () => nv.read(),
    extend: (digest: string) => nv.extend(fromHex(digest)),
    begin: async () => ({ count: String(await nv.begin()) }),
    goOn: ({ count }: { count: string }) => nv.goOn(BigInt(count)),
  };
  const { log } = await MeasurementLog.open(join(folder, "log"), register, "00000000-0000-4000-8000-000000000001");
  t.after(() => log.close());
  return async (nonce, from, ...events) => {
    if (events.length > 0) await log.append(events);
    await log.append([sweepEvent({ nonce })]);
    const quote = (given: Uint8Array) => nv.certify(ak, given);
    return collectEvidence({ segments: log.segmentsFrom(0), from, nonce: fromHex(nonce), quote });
  };
}

async function checkpointsOf({ chain, deployer }: TestLedger, folder: string) {
  const contract = (await deployContract("Checkpoints", { url: chain.url, deployerKey: deployer })).address;
  const [key, passphraseFile] = [join(folder, "key"), join(folder, "passphrase")];
  await writeFile(passphraseFile, "for tests\n", { mode: 0o600 });
  await generateKeyFile({ path: key, passphrase: "for tests" });
  return { contract, key, passphraseFile, intervalMs: 1000 };
}

/** A verifier with a chain, and a host with a certified TPM and one container whose image has an approved baseline. */
export async function site(t: Ending, pcr: "nv" | "pcr" = "pcr", { checkpoints = false } = {}) {
  const folder = await temporaryFolder(t);
  const ledger = await startTestLedger(t);
  const { place, publishers } = ledger;
  const actions = testActions(place);
  const { id } = await actions.propose(publishers[0], testLines("web", 3));
  await actions.approve(publishers[1], id);
  const [state, ca, roots] = ["verifier", "ca", "roots"].map((name) => join(folder, name)) as [string, string, string];
  const host = await TestHost.start(t, (path) => setUpSwtpm(path, ["--create-ek-cert"], ca));
  mkdirSync(roots);
  for (const name of ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]) cpSync(join(ca, name), join(roots, name));
  const config = verifierConfigSchema.parse({
    ...{ state, ledger: place, listen: { port: 0 }, enrollment: { roots } },
    ...(checkpoints ? { checkpoints: await checkpointsOf(ledger, folder) } : {}),
    pcr: pcr === "nv" ? `nv:0x0${NV_INDEX.toString(16)}` : 13,
  });
  const answer: TestHost["answer"] =
    pcr === "nv" ? await inNvIndex(t, host, folder) : (...given) => host.answer(...given);
  const verifier = await runVerifier(config);
  t.after(() => verifier.close());
  const operatorToken = join(state, OPERATOR_TOKEN_FILE);
  const client = new VerifierClient(verifier.address, "node1");
  client.useToken(await client.enroll(host, await joinToken(verifier, state, "node1")));
  const attest = async (...events: LogEvent[]) => {
    const { nonce, from } = await client.nonce();
    assert.equal((await client.evidence(await answer(nonce, from, ...events))).accepted, true);
  };
  const web = containerOf("web", { image: testIdentity("web") });
  await attest(startEvent(web), codeEvent(web, LIBRARY, { object: listed, role: "library" }));
  const file = join(folder, "node1.bundle");
  const take = async () => {
    const options = ["--verifier", verifier.address, "--operator-token", operatorToken];
    const done = await pimsMeanwhile(["bundle", "export", "node1", "--out", file, ...options]);
    assert.equal(done.status, 0, done.stderr);
    return JSON.parse(await readFile(file, "utf8")) as Bundle;
  };
  const key = Buffer.from(computeName(host.akPublic)).toString("hex");
  /** Both checkers' exit statuses and what they print, for each of these. Ours as the command calls it. */
  const checkAll = async (bundles: Record<string, Bundle | string | Uint8Array>, anchors: readonly string[]) => {
    const runs = await Promise.all(
      Object.entries(bundles).map(async ([name, bundle], index) => {
        const path = join(folder, `${index}.altered`);
        const plain = typeof bundle === "string" || bundle instanceof Uint8Array;
        await writeFile(path, plain ? bundle : JSON.stringify(bundle));
        return { name, path, ours: await verdictOf(path, anchors) };
      }),
    );
    const theirs = await script(runs.map(({ path }) => [...anchors, path]));
    return runs.map(({ name, ours }, index) => {
      const statuses = [ours.status, theirs[index]!.status];
      return { name, statuses, ours: ours.text, theirs: theirs[index]!.text };
    });
  };
  const check = async (bundle: Bundle, anchors: readonly string[]) => (await checkAll({ bundle }, anchors))[0]!;
  return { ledger, actions, id, state, config, host, verifier, roots, file, take, attest, check, checkAll, web, key };
}
