import assert from "node:assert/strict";
import { test } from "node:test";
import { fromRlp, type Hex, toRlp } from "viem";
import { istanbulDigest, parseBftExtra } from "./bft-extra.ts";
import { type Header, hashWithExtra, parseHeader, verifyHeader } from "./block-header.ts";
import { quorumOf, verifyCommitSeals } from "./commit-seals.ts";
import { bftHeader, EXTRA, sealOf, testHeader, testSigner, twinOf, withItem } from "./testing-sealed-headers.ts";

const zeros = (bytes: number): string => "00".repeat(bytes);
const emptyTrie = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

/**
 * A header with an IBFT 2.0 form of extra data, its block's hash and the hash that validators sign, as published in
 * Consensys/qbft-tests, BftBlockHeaderHashTests/bft_block_headers_data.json. Its seals are by the keys 1 to 4.
 */
const published: Record<string, string> = {
  parentHash: "0xa7762d3307dbf2ae6a1ae1b09cf61c7603722b2379731b6b90409cdb8c8288a0",
  sha3Uncles: "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
  miner: `0x${zeros(20)}`,
  stateRoot: "0xca07595b82f908822971b7e848398e3395e59ee52565c7ef3603df1a1fa7bc80",
  transactionsRoot: emptyTrie,
  receiptsRoot: emptyTrie,
  logsBloom: `0x${zeros(256)}`,
  difficulty: "0x1",
  number: "0x1",
  gasLimit: "0x47c94c",
  gasUsed: "0x0",
  timestamp: "0x5b3c3db8",
  extraData:
    "0xf90178a0000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fea94000000000000000000000000000000000000000194" +
    "0000000000000000000000000000000000000002d794000000000000000000000000000000000000000381ff8400fedcbaf9010cb8412d98a30d2844" +
    "aa05b4fcf3abcd333e195d4ad365726a7b9a5bc19744dcec0ad42d129ad2890b86c32a969a9b511d8c1c846f7eb694455bb29b7365ab260a188100" +
    "b8416e65e1097c802f12fe12048871f228fc394fb005cbf5c55225adbff7e82c94d352fc83967effa3a777a9d50e677108b732258c7ef6e1a3e8fc" +
    "34919b90e0f34e00b841b8462060df24936c7da7413fbf8ac706775d06ba052831075fd2059458ca91e971f35a7a90ec5225328fe25d6dec51de3a" +
    "2d71e81a581ceb98acdafd5bcd12f801b841be1cb71a2525013ae8ac676505597229265960b4d34654dc88249d1bc7e07a324f44b16542adad19bd" +
    "dade1785ac9687b656cbf64685a2e6e6b4f04d9aad23cd00",
  mixHash: istanbulDigest,
  nonce: `0x${zeros(8)}`,
  hash: "0x8d8736980278155e486cf0543c0a53cd3a3c961c3b976c6a4ac7dc5310dad88d",
};
const publishedSigned = "0xb1d26d018658f2556a2c3f0080596055cb0d05bcab91397f8ae8f01ea831559c";

/**
 * Block 7528 of a network of four Besu nodes with QBFT, sealed in round 1, and the hash that its validators signed, as
 * published in datachainlab/besu-qbft-elc, elc/src/header.rs.
 */
const ofBesu =
  (`0xf9033fa00af93e70b1c6d3974a88a42eb70bb61adbd523bfac0c83027ba4637c52746a0fa01dcc4de8dec75d7aab85b567b6ccd41ad312451b948a` +
    `7413f0a142fd40d4934794ee3353e587cfa91625a1adaef308a726de3803d3a0166ed98eea93ab2b6f6b1a425526994adc2d675bf9a0d77d600ed1` +
    `e02d8f77dfa056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421a056e81f171bcc55a6ff8345e692c0f86e5b48e01b` +
    `996cadc001622fb5e363b421b90100${zeros(256)}01821d688347b76080846640618bb90147f90144a0${zeros(32)}f85494647bfdd19655e5` +
    `1e69d35454ff3a92f8828e630294a5c8416b9d13417b45b45ada76408f39d1e504ef94b92e91f4dcc9d28503be521afa2a8fbf3c1acf6094ee3353` +
    `e587cfa91625a1adaef308a726de3803d3c001f8c9b841bc7633fd65570f610a595086e9a34e5bf6aacfb67b8f8cd01852e6b285147f046a50577b` +
    `49378b86723ac9b456ef59ef7ab57cda7139d807f10f58e8cb10c67600b841ad1defc2b0b4a48158cff24778bb5ba4d9f373c171022ab0a42e37bd` +
    `b0d4025718434d303a8d94df56ef9ad5219be9f27b2f67179a7fb82d3323dde29546f9f701b841e233d3670dd97c715f72b440eeb1ccb1e22c8c23` +
    `f6ab470c46c99c2d0ee6509f0341a42e0e4569782557e93c3815e8ca4294043595f69a90f73f135de8ecf41e00a063746963616c2062797a616e74` +
    `696e65206661756c7420746f6c6572616e6365880000000000000000`) as Hex;
const besuSigned = "0x75ea184f58cd3f0ef89032a069df01f07ec524ef3a85cf6d3e424d62130c0a32";
const besuValidators = [
  "0x647bfdd19655e51e69d35454ff3a92f8828e6302",
  "0xa5c8416b9d13417b45b45ada76408f39d1e504ef",
  "0xb92e91f4dcc9d28503be521afa2a8fbf3c1acf60",
  "0xee3353e587cfa91625a1adaef308a726de3803d3",
];

const signers = [1, 2, 3, 4].map(testSigner);
const addresses = signers.map(({ address }) => address);
const refused = { code: "ledger-unverified" };
const signedOf = (header: Header): Hex => hashWithExtra(header, parseBftExtra(header.extraData)!.signed);

test("a published IBFT 2.0 header has its published hashes, and is sealed by its four keys", async () => {
  const header = verifyHeader(published);
  assert.equal(header.hash, published.hash);
  assert.equal(signedOf(header), publishedSigned);
  assert.equal(parseBftExtra(header.extraData)!.kind, "ibft2");
  await verifyCommitSeals(header, { kind: "ibft2", addresses });
  await assert.rejects(verifyCommitSeals(header, { kind: "qbft", addresses }), /not that of QBFT/);
  // Those whom the header names have sealed nothing: the configured ones count.
  const named = [1, 2].map((last) => `0x${last.toString(16).padStart(40, "0")}`);
  await assert.rejects(verifyCommitSeals(header, { kind: "ibft2", addresses: named }), /0 of 2 validators sealed it/);
});

test("a header of a Besu network with QBFT is sealed by three of its four validators", async () => {
  const header = parseHeader(ofBesu);
  assert.equal(header.number, 7528n);
  assert.equal(signedOf(header), besuSigned);
  await verifyCommitSeals(header, { kind: "qbft", addresses: besuValidators });
  const upper = besuValidators.map((address) => `0x${address.slice(2).toUpperCase()}`);
  await verifyCommitSeals(header, { kind: "qbft", addresses: upper });
  const exchanged = [...besuValidators.slice(1), addresses[0]!];
  for (const others of [exchanged, [...besuValidators, addresses[0]!, addresses[1]!]])
    await assert.rejects(
      verifyCommitSeals(header, { kind: "qbft", addresses: others }),
      /and it names other validators/,
    );
});

test("no byte of a sealed header can be another", async () => {
  const bytes = Buffer.from(ofBesu.slice(2), "hex");
  const seals = ofBesu.indexOf("f8c9b841") / 2 - 1;
  const afterSeals = bytes.length - 42;
  for (let at = 0; at < bytes.length; at += at < seals || at > afterSeals ? 7 : 31) {
    const altered: Hex = `0x${Buffer.from(bytes.with(at, bytes[at]! ^ 1)).toString("hex")}`;
    await assert.rejects(
      async () => verifyCommitSeals(parseHeader(altered), { kind: "qbft", addresses: besuValidators }),
      refused,
      `byte ${at}`,
    );
  }
});

for (const kind of ["qbft", "ibft2"] as const) {
  test(`${kind}: round and seals make no other block, and validators sign the round`, async () => {
    const first = await bftHeader(kind, signers, signers.slice(0, 3));
    const later = await bftHeader(kind, signers, signers.slice(1), { round: 5 });
    assert.equal(first.hash, later.hash);
    assert.notEqual(first.rlp, later.rlp);
    assert.notEqual(signedOf(first), signedOf(later));
    assert.notEqual(first.hash, (await bftHeader(kind, signers, signers, { number: 2 })).hash);
    for (const header of [first, later]) await verifyCommitSeals(header, { kind, addresses });
    // Seals of another round count nothing.
    const items = fromRlp(later.extraData, "hex") as [Hex, Hex[], Hex, Hex, Hex[]];
    const mixed = toRlp(items.with(4, (fromRlp(first.extraData, "hex") as [Hex, Hex, Hex, Hex, Hex[]])[4]));
    await assert.rejects(verifyCommitSeals(withItem(later, EXTRA, mixed), { kind, addresses }), /0 of 4 validators/);
  });

  test(`${kind}: two thirds must have sealed, each counted once`, async () => {
    const sealed = async (by: number[]) =>
      verifyCommitSeals(
        await bftHeader(
          kind,
          signers,
          by.map((number) => testSigner(number)),
        ),
        { kind, addresses },
      );
    await sealed([1, 2, 3]);
    await sealed([4, 2, 1]);
    await sealed([9, 2, 1, 3]);
    for (const by of [[], [1], [1, 2], [1, 2, 2], [1, 1, 1, 1], [1, 2, 9], [1, 2, 8, 9]])
      await assert.rejects(sealed(by), /validators sealed it, 3 must/, `${by}`);
  });
}

test("the quorum is two thirds, rounded up", () => {
  const expected = [1, 2, 2, 3, 4, 4, 5, 6, 6, 7];
  assert.deepEqual(
    expected.map((_, index) => quorumOf(index + 1)),
    expected,
  );
});

test("a signature's twin counts as that signature, one of another form, or one too many does not", async () => {
  const header = await bftHeader("qbft", signers, signers.slice(0, 3));
  const seals = parseBftExtra(header.extraData)!.seals;
  const sealedBy = (other: readonly Hex[]) => {
    const items = fromRlp(header.extraData, "hex") as [Hex, Hex[], Hex[], Hex, Hex[]];
    const altered = withItem(header, EXTRA, toRlp(items.with(4, [...other]) as [Hex, Hex[], Hex[], Hex, Hex[]]));
    return verifyCommitSeals(altered, { kind: "qbft", addresses });
  };
  await sealedBy(seals);
  const last = seals[2]!;
  const v27: Hex = `${last.slice(0, -2) as Hex}${last.endsWith("0") ? "1b" : "1c"}`;
  const zero: Hex = `0x${zeros(65)}`;
  await sealedBy([seals[0]!, seals[1]!, twinOf(last)]);
  for (const other of [
    twinOf(seals[0]!),
    v27,
    zero,
    `0x${"ff".repeat(64)}00` as Hex,
    last.slice(0, -2) as Hex,
    "0x" as Hex,
  ])
    await assert.rejects(sealedBy([seals[0]!, seals[1]!, other]), /2 of 4 validators sealed it/, other);
  const many = Array.from({ length: 480 }, (_, index) => seals[index % 2]!);
  await assert.rejects(sealedBy(many), /more than 256 seals/);
  const tenThousand = toRlp([`0x${zeros(32)}`, addresses, [], "0x", Array.from({ length: 10_000 }, () => seals[0]!)]);
  assert.throws(() => withItem(header, EXTRA, tenThousand), refused);
});

test("what is no extra data of these chains seals nothing", async () => {
  const right = await bftHeader("qbft", signers, signers);
  const items = fromRlp(right.extraData, "hex") as [Hex, Hex[], Hex[], Hex, Hex[]];
  const long = right.extraData.replace(/^0xf901/, "0xfa0001") as Hex;
  assert.notEqual(long, right.extraData);
  const others: Hex[] = [
    "0x",
    "0xc0",
    `0x${zeros(97)}`,
    long,
    `${right.extraData}00`,
    right.extraData.slice(0, -2) as Hex,
    toRlp(items.slice(0, 4) as Hex[]),
    toRlp([...items, "0x"]),
    toRlp(items.with(0, `0x${zeros(31)}`) as Hex[]),
    toRlp(items.with(1, [`0x${zeros(21)}`]) as Hex[]),
    toRlp(items.with(2, "0x1234") as Hex[]),
    toRlp(items.with(3, "0x0001") as Hex[]),
    toRlp(items.with(4, [`0x${zeros(66)}`]) as Hex[]),
    `0x${"c1".repeat(30_000)}c0`,
  ];
  for (const extraData of others) {
    assert.equal(parseBftExtra(extraData), null, extraData.slice(0, 80));
    const header = withItem(right, EXTRA, extraData);
    await assert.rejects(verifyCommitSeals(header, { kind: "qbft", addresses }), /not that of QBFT/);
  }
  // The same seals under another mixHash are none of an Istanbul chain.
  const plain = testHeader({ extraData: right.extraData });
  await assert.rejects(verifyCommitSeals(plain, { kind: "qbft", addresses }), /not that of QBFT/);
  assert.equal((await sealOf(signers[0]!, plain.hash)).length, 132);
});
