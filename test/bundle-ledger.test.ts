// What bundles prove of the ledger: with real chains and a verifier that sends checkpoints, and both checkers against
// bundles whose maker signs whatever he likes.
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Address, fromRlp, type Hex, keccak256, numberToHex, toRlp } from "viem";
import type { Bundle } from "../src/attest/bundle.ts";
import { keyOfJwk } from "../src/attest/jwt.ts";
import { pinOf } from "../src/attest/verifier-address.ts";
import type { BundleReport } from "../src/attest/verify-bundle.ts";
import { parseBaseline } from "../src/baseline/format.ts";
import { toHex } from "../src/core/bytes.ts";
import { deployRegistry } from "../src/ledger/deploy.ts";
import { type BftKind, istanbulDigest } from "../src/ledger/header/bft-extra.ts";
import { type Header, parseHeader, verifyHeader } from "../src/ledger/header/block-header.ts";
import { cliqueGenesis, nextClique } from "../src/ledger/header/testing-clique.ts";
import {
  commitBlock,
  EXTRA,
  type TestSigner,
  testSigner,
  twinOf,
  withItem,
} from "../src/ledger/header/testing-sealed-headers.ts";
import { revokeBaseline, supersedeBaseline } from "../src/ledger/revoke.ts";
import { openRpc } from "../src/ledger/rpc/rpc.ts";
import { ending, testActions, testIdentity, testLines } from "../src/ledger/testing.ts";
import { parseRecord } from "../src/log/record.ts";
import { replay } from "../src/log/replay.ts";
import { type ApprovedBaseline, bundleProofs } from "../src/verifier/bundle-proofs.ts";
import { CHECKPOINT_FOLDER } from "../src/verifier/config.ts";
import { approvedIn, forgedBundle, openLedger, saidCheckpoint } from "./bundle-forging.ts";
import { script, site } from "./bundle-site.ts";
import { sentencesOf } from "./evidence/sentences.ts";
import { pimsMeanwhile } from "./pims.ts";

const file = ending();
after(() => file.end());
let at: Awaited<ReturnType<typeof site>>;
/** Evidence whose whole log is in a checkpoint, and what makes its bundle trusted. */
let good: Bundle;
let anchors: string[];
/** Its baseline, with what proves that it is approved. */
let was: ApprovedBaseline;
before(async () => {
  at = await site(file, "pcr", { checkpoints: true });
  await at.attest();
  do good = await at.take();
  while (good.checkpoint === null || JSON.parse(good.checkpoint.line).log.records !== good.log.records.length);
  anchors = [`--ak=${at.key}`, "--undated", `--block=${registry().blockHash}`, `--registry=${registry().contract}`];
  was = await approvedNow();
});

const registry = () => good.baselines[0]!.registry!;
/** What our checker has said. */
const heard: string[] = [];
const checkAll = async (...given: Parameters<typeof at.checkAll>) => {
  const checked = await at.checkAll(...given);
  heard.push(...checked.map(({ ours }) => ours));
  return checked;
};
const check = async (bundle: Bundle, given: readonly string[]) => (await checkAll({ bundle }, given))[0]!;
const forged = (change: Partial<Bundle>) => forgedBundle({ ...good, ...change });
const said = (lines: readonly string[], number?: bigint) => saidCheckpoint(at.ledger, lines, number);
const approvedNow = (place = at.ledger.place) => approvedIn(place, "web");

test("who knows a block and the contracts needs nobody's word that baselines were approved, and sees what was fixed", async () => {
  const { checkpoint } = good;
  assert.equal(JSON.parse(checkpoint!.line).host, "node1");
  const asked = [`--checkpoints=${checkpoint!.contract}`, `--reporter=${checkpoint!.reporter}`];
  // The checkpoint may be proved for a later block than the baseline.
  const both = [...anchors, `--block=${checkpoint!.blockHash}`];
  const shown = await check(good, [...both, ...asked]);
  assert.deepEqual(shown.statuses, [0, 0], shown.ours + shown.theirs);
  assert.match(shown.ours, /1 of 1 baselines approved and checkpoint \d+ said in the state of /);
  assert.match(
    shown.ours,
    /checkpoint \d+ fixes all \d+ records, of evidence accepted at [^;]*; its verdicts: 1 trusted/,
  );
  assert.match(shown.theirs, /^checkpoint: (\d+) of \1 records were fixed on the ledger$/m);
  const zero = (word: string) => word.replace(/=0x.*/, `=0x${"00".repeat(word.startsWith("--block") ? 32 : 20)}`);
  const less: Record<string, string[]> = {
    "another block": anchors.map((one) => (one.startsWith("--block") ? zero(one) : one)),
    "another registry": anchors.map((one) => (one.startsWith("--registry") ? zero(one) : one)),
    "another contract for checkpoints": [...both, zero(asked[0]!), asked[1]!],
    "another reporter": [...both, asked[0]!, zero(asked[1]!)],
    "a root besides": [...anchors.slice(0, 2), `--baseline=${"00".repeat(32)}`],
    nothing: anchors.slice(0, 2),
  };
  for (const [name, given] of Object.entries(less)) {
    const { statuses, ours, theirs } = await check(good, given);
    assert.deepEqual(statuses, [3, 3], `${name}: ${ours} ${theirs}`);
  }
  const alone = await pimsMeanwhile(["verify", at.file]);
  const { blockHash, contract, block, chainId } = registry();
  const place = `registry ${contract} on chain ${chainId}, block ${block} ${blockHash} of \\S+, \\d+ \\w+ (before|after)`;
  assert.match(
    alone.stdout,
    new RegExp(`^baselines +nobody +nobody whom you know has approved .*shown for ${place}`, "m"),
  );
  const word = await pimsMeanwhile(["verify", at.file, "--verifier-key", at.verifier.resultsKey]);
  assert.match(word.stdout, new RegExp(`^baselines +verifier +the verifier says .*shown for ${place}`, "m"));
  const named = await pimsMeanwhile(["verify", at.file, ...anchors]);
  assert.equal(named.status, 0, named.stdout + named.stderr);
  assert.match(named.stdout, new RegExp(`^baselines +you +you know where the ledger approves them: ${place}`, "m"));
  for (const some of [
    anchors.slice(2, 3),
    anchors.slice(3),
    asked,
    [...anchors, asked[0]!],
    [...anchors, "--block=1"],
  ]) {
    const refused = await pimsMeanwhile(["verify", at.file, ...some]);
    assert.deepEqual([refused.status, refused.stdout], [1, ""], some.join(" "));
  }
});

test("a proof of the ledger that was altered is refused, whoever signs the rest", async () => {
  const { ledger, baselines, checkpoint } = good;
  const [web] = baselines;
  const ofLedger = (change: Partial<Bundle["ledger"]>) => ({ ledger: { ...ledger, ...change } });
  const ofRegistry = (change: Partial<ReturnType<typeof registry>>) => ({
    baselines: [{ ...web!, registry: { ...registry(), ...change } }],
  });
  const ofCheckpoint = (change: Partial<NonNullable<Bundle["checkpoint"]>>) => ({
    checkpoint: { ...checkpoint!, ...change },
  });
  const flip = (base64: string, where: number): string => {
    const bytes = Buffer.from(base64, "base64");
    bytes[where % bytes.length]! ^= 1;
    return bytes.toString("base64");
  };
  // Of the header's RLP: 3 bytes, then hashes of parent (33) and uncles (33), address (21), one byte, the state's root.
  const lie = flip(ledger.blocks[0]!.header, 3 + 33 + 33 + 21 + 1 + 5);
  const lieHash = keccak256(new Uint8Array(Buffer.from(lie, "base64")));
  const others = testLines("web", 4);
  const headed = (header: string, ...above: string[]) => ({ header, above });
  const other = `0x${"12".repeat(20)}` as Address;
  const hash = `0x${"34".repeat(32)}` as Hex;
  const sizeOf = (texts: readonly string[]) => texts.reduce((sum, { length }) => sum + length, 0);
  /** All that fits, and some more. */
  const upTo = (most: number, known: readonly string[], one: string, more: number) =>
    Array<string>(Math.floor((most - sizeOf(known)) / one.length) + more).fill(one);
  const manyNodes = (more: number) => [...ledger.nodes, ...upTo(8 << 20, ledger.nodes, "A".repeat(1364), more)];
  const manyHeaders = (more: number) => {
    const [first, ...rest] = ledger.blocks;
    const headers = ledger.blocks.flatMap(({ header, above }) => [header, ...above]);
    return [headed(first!.header, ...upTo(4 << 20, headers, "A".repeat(46_424), more)), ...rest];
  };
  const bad: Record<string, Partial<Bundle>> = {
    "a state's root that is another": ofLedger({ blocks: [headed(lie), ...ledger.blocks.slice(1)] }),
    "the same with its own hash": {
      ...ofRegistry({ blockHash: lieHash }),
      ...ofLedger({ blocks: [headed(lie), ...ledger.blocks] }),
    },
    "no header": ofLedger({ blocks: [] }),
    "no nodes": ofLedger({ nodes: [] }),
    "a header more": ofLedger({ blocks: [...ledger.blocks, ledger.blocks[0]!] }),
    "a header of no form": ofLedger({ blocks: [headed("wA==")] }),
    "a header above that is none": ofLedger({
      blocks: [headed(ledger.blocks[0]!.header, "wA=="), ...ledger.blocks.slice(1)],
    }),
    "a header above that is another": ofLedger({
      blocks: [headed(ledger.blocks[0]!.header, ledger.blocks[0]!.header), ...ledger.blocks.slice(1)],
    }),
    "a node more": ofLedger({ nodes: [...ledger.nodes, ledger.nodes[0]!] }),
    "a node less": ofLedger({ nodes: ledger.nodes.slice(0, -1) }),
    "nodes in another order": ofLedger({ nodes: ledger.nodes.toReversed() }),
    "as many nodes as there may be": ofLedger({ nodes: manyNodes(0) }),
    "as many headers": ofLedger({ blocks: manyHeaders(0) }),
    "another contract": ofRegistry({ contract: other }),
    "another chain": ofRegistry({ chainId: "1" }),
    "the largest chain": ofRegistry({ chainId: "9".repeat(77) }),
    "another block's number": ofRegistry({ block: "1" }),
    "another block's hash": ofRegistry({ blockHash: hash }),
    "another proposal": ofRegistry({ proposal: hash }),
    "more approvals": ofRegistry({ approvals: 3 }),
    "of another baseline": {
      baselines: [{ ...web!, root: toHex(parseBaseline(others).root), lines: others }],
    },
    "not said where": { baselines: [{ ...web!, registry: null }] },
    "not said when": ofCheckpoint({ blockHash: hash }),
    "another contract for checkpoints": ofCheckpoint({ contract: registry().contract }),
    "another reporter": ofCheckpoint({ reporter: other }),
    "another checkpoint": ofCheckpoint({ number: "77" }),
    "another line": ofCheckpoint({ line: checkpoint!.line.replace("trusted", "unknown") }),
    "another place": ofCheckpoint({ index: 0 }),
    "a smaller tree": ofCheckpoint({ size: 1 }),
    "a larger tree": ofCheckpoint({ size: 3 }),
    "no path": ofCheckpoint({ path: [] }),
    "a longer path": ofCheckpoint({ path: [...checkpoint!.path, "00".repeat(32)] }),
    "no checkpoint": { checkpoint: null },
  };
  // Each takes a second run of both checkers.
  for (const [index, node] of ledger.nodes.entries())
    if (index % 5 === 0 || index === ledger.nodes.length - 1)
      bad[`node ${index}`] = ofLedger({ nodes: ledger.nodes.with(index, flip(node, 7 * index)) });
  const bundles = Object.fromEntries(Object.entries(bad).map(([name, change]) => [name, forged(change)]));
  const { statuses } = await check(forged({}), anchors);
  assert.deepEqual(statuses, [0, 0], "what is forged but true");
  for (const { name, statuses, ours, theirs } of await checkAll(bundles, anchors)) {
    assert.deepEqual(statuses, [2, 2], `${name}: ${ours} ${theirs}`);
    assert.match(theirs, /^(ledger|checkpoint): FAILED/m, name);
    assert.match(ours, /"check":"(ledger|checkpoint)","outcome":"failed"/, name);
  }
  const tooMuch = {
    "65 537 nodes": ofLedger({ nodes: Array<string>(65_537).fill("AAAA") }),
    "more nodes than fit": ofLedger({ nodes: manyNodes(1) }),
    "more headers than fit": ofLedger({ blocks: manyHeaders(1) }),
  };
  const larger = Object.fromEntries(Object.entries(tooMuch).map(([name, change]) => [name, forged(change)]));
  for (const { name, statuses, ours, theirs } of await checkAll(larger, anchors))
    assert.deepEqual(statuses, [1, 1], `${name}: ${ours} ${theirs}`);
});

test("who knows the chain's validators needs no block's hash: two thirds of them have sealed it", async () => {
  const validators = [1, 2, 3, 4].map(testSigner);
  const by = (consensus: string, ...signers: readonly TestSigner[]) => [
    ...[`--consensus=${consensus}`, `--chain-id=${registry().chainId}`, "--max-block-age=unlimited"],
    ...signers.map(({ address }) => `--validator=${address}`),
  ];
  const [all, clique] = [by("qbft", ...validators), by("clique", ...validators)];
  const others = [5, 6, 7, 8].map(testSigner);
  const five = [...validators, testSigner(5)];
  const one = testSigner(1);
  const zero: Hex = `0x${"00".repeat(32)}`;
  const known = [...anchors.slice(0, 2), anchors[3]!];
  const approved = await approvedNow();
  const { stateRoot } = approved.approval!.header;
  const timestamp = Number(approved.approval!.header.timestamp);
  const rpc = openRpc(at.ledger.chain.url);
  const block = await rpc.call("eth_getBlockByNumber", [numberToHex(approved.approval!.header.number), false]);
  const sealed = async (kind: BftKind, by: number, more: readonly TestSigner[] = [], named = validators) => {
    const sealers = [...validators.slice(0, by), ...more];
    const header = verifyHeader(await commitBlock(block as object, kind, named, sealers, 7));
    return forged(bundleProofs([{ ...approved, approval: { ...approved.approval!, header } }], null));
  };
  /** As if Clique's signers had made the block, and others above it. */
  const signed = async (by: readonly number[], signers = validators, mixHash: Hex = zero, isTwin = false) => {
    const made = [cliqueGenesis(signers)];
    for (const [index, signer] of by.entries()) {
      const next = (more: { seal?: Hex }) =>
        nextClique(made.at(-1)!, testSigner(signer + 1), signers, {
          mixHash,
          ...(index === 0 ? { stateRoot, timestamp } : {}),
          ...more,
        });
      const right = await next({});
      made.push(isTwin ? await next({ seal: twinOf(`0x${right.extraData.slice(-130)}`) }) : right);
    }
    const [, header, ...above] = made as [Header, Header, ...Header[]];
    return forged(bundleProofs([{ ...approved, approval: { ...approved.approval!, header, above } }], null));
  };
  /** With another signature of the same signers, which needs no key, in each seal. */
  const withTwins = async (bundle: Bundle): Promise<Bundle> => {
    const header = parseHeader(`0x${Buffer.from(bundle.ledger.blocks[0]!.header, "base64").toString("hex")}`);
    const items = fromRlp(header.extraData, "hex") as [Hex, Hex[], Hex[], Hex, Hex[]];
    const twins = withItem(header, EXTRA, toRlp(items.with(4, items[4].map(twinOf)) as typeof items));
    assert.equal(twins.hash, header.hash);
    return forged(bundleProofs([{ ...approved, approval: { ...approved.approval!, header: twins } }], null));
  };
  const three = await sealed("qbft", 3);
  const hash = three.baselines[0]!.registry!.blockHash;
  const withAbove = ({ header }: { header: string }) => ({ header, above: [header] });
  const cases: [string, Bundle, string[], number][] = [
    [
      "headers above one with seals",
      forged({ ...three, ledger: { ...three.ledger, blocks: three.ledger.blocks.map(withAbove) } }),
      all,
      2,
    ],
    ["three of four", three, all, 0],
    ["three of four by IBFT 2.0", await sealed("ibft2", 3), by("ibft2", ...validators), 0],
    ["IBFT 2.0 instead of QBFT", await sealed("ibft2", 3), all, 3],
    ["QBFT instead of IBFT 2.0", three, by("ibft2", ...validators), 3],
    ["QBFT instead of Clique", three, clique, 3],
    [
      "Clique instead of QBFT, for which three of five are enough",
      await signed([0, 1, 2], five),
      by("qbft", ...five),
      3,
    ],
    ["by the twins of their signatures", await withTwins(three), all, 0],
    ["signed with the twins of signatures", await signed([0, 1, 2], validators, zero, true), clique, 0],
    ["the same to who says so", await signed([0, 1, 2], five), by("clique", ...five), 0],
    ["Clique's seal on QBFT's header", await signed([0], [one], istanbulDigest), by("clique", one), 3],
    ["the same on one of Clique's", await signed([0], [one]), by("clique", one), 0],
    ["a header that names fewer validators", await sealed("qbft", 3, [], validators.slice(1)), all, 3],
    ["a header that names others", await sealed("qbft", 3, [], [...validators.slice(1), testSigner(5)]), all, 3],
    ["one that names none, as where a contract chooses them", await sealed("qbft", 3, [], []), all, 0],
    ["as many seals as are looked at", await sealed("qbft", 3, Array(253).fill(validators[0])), all, 0],
    ["more of them", await sealed("qbft", 3, Array(254).fill(validators[0])), all, 3],
    ["of another chain of theirs", three, [...all.filter((one) => !one.startsWith("--chain")), "--chain-id=7"], 3],
    ["two of four", await sealed("qbft", 2), all, 3],
    ["other validators", three, by("qbft", ...others), 3],
    ["half of them others", three, by("qbft", ...validators.slice(2), ...others), 3],
    ["the chain's hash, which leaves out the seals", three, [`--block=${hash}`], 0],
    ["a Clique chain's block, with two above", await signed([0, 1, 2]), clique, 0],
    ["with one above, of four signers", await signed([0, 1]), clique, 3],
    ["that some other signed", await signed([0, 4, 1, 2]), clique, 3],
    ["with blocks above by one", await signed([0, 0, 0]), clique, 3],
    ["of other signers", await signed([0, 1, 2]), by("clique", ...others), 3],
    ["no validators' chain", forged(bundleProofs([approved], null)), all, 3],
  ];
  for (const [name, bundle, given, status] of cases) {
    const { statuses, ours, theirs } = await check(bundle, [...known, ...given]);
    assert.deepEqual(statuses, [status, status], `${name}: ${ours} ${theirs}`);
  }
  // A block from before a revocation stays sealed for ever: so it counts for evidence of its time only.
  const dated = [known[0]!, anchors[3]!, `--verifier-key=${pinOf(keyOfJwk(three.results.key))}`];
  const [signers, most] = [all.filter((one) => !one.startsWith("--max")), "--max-block-age="];
  const seen = (ms: number) => {
    const acceptedAt = new Date(timestamp * 1000 + ms).toISOString();
    return forged({ ...three, evidence: { ...good.evidence, acceptedAt } });
  };
  const ages: [string, number, string[], number][] = [
    ["five minutes", 300_000, signers, 0],
    ["a moment more", 300_001, signers, 3],
    ["as long as is allowed", 3_600_000, [...signers, `${most}3600`], 0],
    ["longer", 3_600_001, [...signers, `${most}3600`], 3],
    ["any length", 10 ** 12, all, 0],
    ["a block after the evidence", -(10 ** 9), [...signers, `${most}0`], 0],
    ["a block that is named besides", 10 ** 9, [...signers, `--block=${hash}`], 0],
  ];
  for (const [name, ms, given, status] of ages) {
    const { statuses, ours, theirs } = await check(seen(ms), [...dated, ...given]);
    assert.deepEqual(statuses, [status, status], `${name}: ${ours} ${theirs}`);
  }
  await writeFile(at.file, JSON.stringify(seen(301_000)));
  const aged = await pimsMeanwhile(["verify", at.file, ...dated, ...signers]);
  assert.equal(aged.status, 3);
  assert.match(
    aged.stdout,
    /^baselines +nobody .* 5 minutes before .*, which is more than the 300 seconds that you allow/m,
  );
  assert.equal((await pimsMeanwhile(["verify", at.file, ...dated, ...all])).status, 0);
  const elsewhere = [...signers.filter((one) => !one.startsWith("--chain")), "--chain-id=7"];
  const chain = await pimsMeanwhile(["verify", at.file, ...dated, ...elsewhere]);
  assert.match(chain.stdout, /^baselines +nobody .*, which is not of the chain 7 that you name/m);
  for (const some of [
    [...known, ...signers],
    [...known, ...signers, `${most}300`],
    [...dated, ...signers, `${most}-1`],
    [...dated, ...signers.filter((one) => !one.startsWith("--chain"))],
    [...dated, ...signers.filter((one) => !one.startsWith("--consensus"))],
    [...dated, `--block=${hash}`, `${most}300`],
  ]) {
    const [refused, theirs] = [await pimsMeanwhile(["verify", at.file, ...some]), await script([[...some, at.file]])];
    assert.deepEqual([refused.status, refused.stdout], [1, ""], some.join(" "));
    assert.match(theirs[0]!.text, /^usage: /, some.join(" "));
  }
  await writeFile(at.file, JSON.stringify(await sealed("qbft", 2)));
  const shown = await pimsMeanwhile(["verify", at.file, ...known, ...all]);
  assert.equal(shown.status, 3);
  assert.match(
    shown.stderr,
    /^pims: block \d+ \(0x[0-9a-f]{64}\) is not proved by seals: 2 of 4 validators sealed it, 3 must$/m,
  );
});

test("a true proof of something else is worth nothing to who knows block and contract", async () => {
  const { chain, publishers, deployer, place } = at.ledger;
  // A registry of the liar's own, in which the same baseline is approved.
  const own = await deployRegistry({
    ...{ url: chain.url, deployerKey: deployer, quorum: 2 },
    publishers: publishers.map(({ address }) => address),
  });
  const actions = testActions({ url: chain.url, registry: own.address });
  const { id } = await actions.propose(publishers[0], testLines("web", 3));
  await actions.approve(publishers[1], id);
  const elsewhere = forged(bundleProofs([await approvedNow({ ...place, registry: own.address })], null));
  const block = `--block=${elsewhere.baselines[0]!.registry!.blockHash}`;
  assert.deepEqual((await check(elsewhere, [...anchors, block])).statuses, [3, 3], "another registry");
  const named = [...anchors, block, `--registry=${own.address.toLowerCase()}`];
  assert.deepEqual((await check(elsewhere, named)).statuses, [0, 0], "to who names it, it is as good");

  // One that ends holds for evidence from before its end.
  const next = await testActions(place).propose(publishers[0], testLines("next", 1));
  await testActions(place).approve(publishers[1], next.id);
  await supersedeBaseline({ ...place, key: publishers[0], id: at.id, by: next.id, overlapSeconds: 3600 });
  const ending = bundleProofs([await approvedNow()], null);
  const seen = [...anchors, `--block=${ending.baselines[0]!.registry!.blockHash}`];
  assert.deepEqual((await check(forged(ending), seen)).statuses, [0, 0]);
  const acceptedAt = new Date(Date.now() + 7_200_000).toISOString();
  const late = await check(forged({ ...ending, evidence: { ...good.evidence, acceptedAt } }), seen);
  assert.deepEqual(late.statuses, [2, 2]);
  assert.match(late.ours, /it ended before the evidence was accepted/);

  // The block before the revocation shows what was so; the one after it does not show it any more.
  const before = await approvedNow();
  await revokeBaseline({ ...place, key: publishers[0], id: at.id });
  const now = await openLedger(at.ledger.place).standingOf(testIdentity("web"));
  assert.ok(now.status === "revoked");
  const revoked = { ...before, approval: { ...now.proved, proposal: now.proposal } };
  const [refused] = await checkAll({ revoked: forged(bundleProofs([revoked], null)) }, anchors);
  assert.deepEqual(refused!.statuses, [2, 2]);
  assert.match(refused!.ours, /it is revoked in block \d+/);
  const old = forged(bundleProofs([before], null));
  const after = [...anchors.slice(0, 2), `--block=${now.proved.header.hash}`, anchors[3]!];
  const shown = await check(old, after);
  assert.deepEqual(shown.statuses, [3, 3], "who looks up a newer block");
  assert.match(
    shown.ours,
    /you do not name [^"]*; shown for [^"]* block \d+ 0x[^"]* (before|after) the evidence was accepted/,
  );
});

test("a log that is another than a checkpoint has fixed is refused, whatever else the checkpoint says is told", async () => {
  const { root } = was;
  const header = '{"format":"pims.checkpoint/v1"}';
  const line = JSON.parse(good.checkpoint!.line);
  const headOf = (count: number) => {
    const digests = good.log.records.slice(0, count).map((one, index) => parseRecord(one, index).digest);
    return { digest: digests.at(-1), value: toHex(replay(digests)) };
  };
  const cases: Record<string, [unknown, number, RegExp]> = {
    "the same": [line, 0, /fixes all \d+ records/],
    "its beginning": [
      { ...line, log: { ...line.log, records: 2, ...headOf(2) } },
      0,
      /fixes the first 2 of \d+ records/,
    ],
    "another value": [{ ...line, log: { ...line.log, value: "00".repeat(32) } }, 2, /has fixed another log/],
    "another digest": [{ ...line, log: { ...line.log, digest: "00".repeat(32) } }, 2, /has fixed another log/],
    "fewer records to the same value": [{ ...line, log: { ...line.log, records: 2 } }, 2, /has fixed another log/],
    "another host": [{ ...line, host: "node2" }, 2, /line of another host/],
    "another key": [{ ...line, ak: line.ak.replace(/.$/, "x") }, 2, /line of another attestation key/],
    "another form": [{ ...line, more: 1 }, 2, /line of another form/],
    "members twice": [JSON.stringify(line).replace('{"host"', '{"host":"x","host"'), 2, /line of another form/],
    "a number beyond all": [{ ...line, log: { ...line.log, records: 2 ** 60 } }, 2, /line of another form/],
    "more records than are here": [{ ...line, log: { ...line.log, records: 77 } }, 0, /is newer than the evidence/],
    "another boot": [{ ...line, log: { ...line.log, bootId: null } }, 0, /is of another boot/],
    "nothing yet": [{ ...line, log: { ...line.log, records: 0, digest: null } }, 0, /before anything was proved/],
  };
  const known = [`--ak=${at.key}`, `--baseline=${root}`, "--undated"];
  for (const [name, [content, status, text]] of Object.entries(cases)) {
    const lines = [header, typeof content === "string" ? content : JSON.stringify(content)];
    const bundle = forged(bundleProofs([was], await said(lines)));
    const { statuses, ours, theirs } = await check(bundle, known);
    assert.deepEqual(statuses, [status, status], `${name}: ${ours} ${theirs}`);
    assert.match(ours, text, name);
    // Who asks for a checkpoint is content only with one that fixes some of this very log.
    if (status === 2) continue;
    const { contract, reporter, blockHash } = bundle.checkpoint!;
    const asked = [`--block=${blockHash}`, `--checkpoints=${contract}`, `--reporter=${reporter}`];
    const shown = await check(bundle, [...known, ...asked]);
    const fixed = /fixes ((all|the first) [^,]* records),/.exec(ours);
    const expected = fixed === null ? 3 : 0;
    assert.deepEqual(shown.statuses, [expected, expected], `${name}, asked for: ${shown.ours} ${shown.theirs}`);
    const { trust } = JSON.parse(shown.ours) as BundleReport;
    const row = trust.find((one) => one.trust === "checkpoint")!;
    assert.equal(row.by, fixed === null ? "nobody" : "you", name);
    assert.match(row.text, fixed === null ? text : new RegExp(`in which checkpoint 0 fixes ${fixed[1]}$`), name);
  }
  const none = await check(forged(bundleProofs([was], await said([header, good.checkpoint!.line], 1n))), known);
  assert.deepEqual(none.statuses, [2, 2]);
  assert.match(none.ours, /checkpoint 1: its reporter has said none of this number by block \d+/);
  // What the verifier keeps is what it said: the command compares a file with the ledger.
  const folder = join(at.state, CHECKPOINT_FOLDER);
  const name = (await readdir(folder)).find((one) => one.startsWith(good.checkpoint!.number.padStart(10, "0")))!;
  assert.ok((await readFile(join(folder, name), "utf8")).includes(`${good.checkpoint!.line}\n`));
  const { contract, reporter } = good.checkpoint!;
  const place = ["--ledger", at.ledger.chain.url, "--contract", contract, "--reporter", reporter];
  const compared = await pimsMeanwhile(["ledger", "checkpoint", join(folder, name), ...place, "--host", "node1"]);
  assert.equal(compared.status, 0, compared.stderr);
  assert.ok(compared.stdout.includes(good.checkpoint!.line));
});

test("no check of the ledger is without a bundle that it refuses", () => {
  for (const source of ["src/attest/check-ledger.ts", "src/attest/check-checkpoint.ts"])
    for (const { text, said } of sentencesOf(source))
      assert.ok(
        heard.some((one) => said.test(one)),
        `${source}: ${text}`,
      );
});
