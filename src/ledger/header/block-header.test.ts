import assert from "node:assert/strict";
import { test } from "node:test";
import { type Hex, keccak256, toRlp } from "viem";
import { parseHeader, verifyHeader } from "./block-header.ts";

const zeros = (bytes: number): string => `0x${"00".repeat(bytes)}`;
const emptyTrie = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";
const common = {
  sha3Uncles: "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
  miner: zeros(20),
  transactionsRoot: emptyTrie,
  receiptsRoot: emptyTrie,
  logsBloom: zeros(256),
};
/** Block 0 of Ethereum's main network. */
const genesis = {
  ...common,
  hash: "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
  parentHash: zeros(32),
  stateRoot: "0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
  difficulty: "0x400000000",
  number: "0x0",
  gasLimit: "0x1388",
  gasUsed: "0x0",
  timestamp: "0x0",
  extraData: "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
  mixHash: zeros(32),
  nonce: "0x0000000000000042",
};
const ofAnvil = {
  ...common,
  difficulty: "0x0",
  number: "0x1",
  gasLimit: "0x1c9c380",
  gasUsed: "0x0",
  timestamp: "0x6b06c28f",
  extraData: "0x",
  nonce: zeros(8),
  baseFeePerGas: "0x3b9aca00",
};
/** First blocks of anvil under each fork's rules. */
const london = {
  ...ofAnvil,
  hash: "0x1452c79a2587ba3fb6e94c81b7146b438122493687c8e1085cee4134dabab173",
  parentHash: "0x1970be24b34ab8bce01ba2622c8a51b0ff3f866011ccbc1d82755b29f7f059b1",
  stateRoot: "0xd66654e69736ad42cb7c7f30d3a1a14f2dc3f143ea1bf688d47813837e325d83",
  timestamp: "0x6b06c28e",
  mixHash: "0x9f63cc1e0726db93232f27e65999990e59836cfa42ca731c8bcbe6064e96dce2",
};
const shanghai = {
  ...ofAnvil,
  hash: "0x2d5448fec795fea855d2a3ac8be8f425048eab2229f286a8a727377edb07c2b4",
  parentHash: "0xb4102d94a037948481ccc8362b96131472eacc18ff04a8b744990a339d0227fc",
  stateRoot: "0xd66654e69736ad42cb7c7f30d3a1a14f2dc3f143ea1bf688d47813837e325d83",
  mixHash: "0xa63fd155ada3b1e38650e2bf1252a0f1864489f8167da071cbd712b28b9d2bea",
  withdrawalsRoot: emptyTrie,
};
const cancun = {
  ...shanghai,
  hash: "0xdab6ea17059e48dbfba712f46ba03c1fa9cf3cc8b6862e6d51ab21fd1c44a18b",
  parentHash: "0xe6206bb56dcde7205ebe1660628989e5a0c9b03d0ede7fe4c0c5f4f18d0c3934",
  mixHash: "0x27cd95beaf50ab6179ed2e47aa9a80a14748f3fb829c20620a6d0ee66e6c87f6",
  blobGasUsed: "0x0",
  excessBlobGas: "0x0",
  parentBeaconBlockRoot: zeros(32),
};
const prague = {
  ...cancun,
  hash: "0x59f56b8573a579e7762da1c9f18e16bad364b6bcbe4a0d6fc9c3cf9ae4d61c42",
  parentHash: "0xe8169ff871c96a6a4428ffdb06bb83608f52dfc3eff639c3a6c5333cb7768e18",
  stateRoot: "0x62bbbdf42fde2060d8c8afba2416be65eacf6acc63e484d43f8dbb901d3922bf",
  mixHash: "0xcb140b2b1f5b175fddc60bfe2f434c964baeceaf9a97618d2dd42fdf954e774a",
  requestsHash: "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
};
const headers: Record<string, Record<string, string>> = { genesis, london, shanghai, cancun, prague };
const refused = { code: "ledger-unverified" };

for (const [fork, header] of Object.entries(headers)) {
  test(`${fork}: a header's hash is computed, and no byte of any field can be another`, () => {
    const verified = verifyHeader({ ...header, transactions: [], size: "0x200" });
    assert.equal(verified.hash, header.hash);
    assert.equal(verified.stateRoot, header.stateRoot);
    assert.equal(verified.number, BigInt(header.number!));
    assert.equal(verified.timestamp, BigInt(header.timestamp!));
    for (const [name, value] of Object.entries(header)) {
      const last = value.at(-1) === "1" ? "2" : "1";
      for (const other of [`${value.slice(0, -1)}${last}`, `${value}0`, value.slice(2), "0x", "", null, 5, [], {}])
        if (other !== value)
          assert.throws(() => verifyHeader({ ...header, [name]: other }), refused, `${name}: ${JSON.stringify(other)}`);
      const { [name]: _, ...without } = header;
      assert.throws(() => verifyHeader(without), refused, `without ${name}`);
    }
  });
}

for (const [fork, block] of Object.entries(headers)) {
  test(`${fork}: a header comes back from its RLP, and from no other bytes`, () => {
    const header = verifyHeader(block);
    assert.equal(keccak256(header.rlp), block.hash);
    assert.deepEqual(parseHeader(header.rlp), header);
    const bytes = Buffer.from(header.rlp.slice(2), "hex");
    const refuses = (altered: Uint8Array, what: string) => {
      let other: Hex;
      try {
        other = parseHeader(`0x${Buffer.from(altered).toString("hex")}`).hash;
      } catch (error) {
        assert.equal((error as { code?: string }).code, "ledger-unverified", what);
        return;
      }
      assert.notEqual(other, header.hash, what);
    };
    for (let at = 0; at < bytes.length; at++) {
      assert.throws(() => parseHeader(`0x${bytes.toString("hex", 0, at)}`), refused, `cut at ${at}`);
      refuses(bytes.with(at, bytes[at]! ^ (at % 2 === 0 ? 1 : 128)), `byte ${at}`);
    }
    for (const more of ["00", "80", "c0"])
      assert.throws(() => parseHeader(`${header.rlp}${more}` as Hex), refused, more);
  });
}

test("a header in another form, or one with more than its fields, is refused", () => {
  const items = (block: Record<string, string>): Hex[] =>
    (
      "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed " +
      "timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas parentBeaconBlockRoot requestsHash"
    )
      .split(" ")
      .map((name) => block[name])
      .filter((value) => value !== undefined)
      .map((value) => (value === "0x0" ? "0x" : value.length % 2 === 0 ? value : `0x0${value.slice(2)}`) as Hex);
  const right = items(prague);
  assert.equal(parseHeader(toRlp(right)).hash, prague.hash);
  const difficulty = 7;
  const number = 8;
  for (const [index, value] of [
    [difficulty, "0x00"],
    [number, "0x0001"],
    [number, "0x"],
  ] as const) {
    const altered = right.with(index, value);
    if (value === "0x") assert.equal(parseHeader(toRlp(altered)).number, 0n);
    else assert.throws(() => parseHeader(toRlp(altered)), /one form/);
  }
  assert.throws(() => parseHeader(toRlp([...right, "0x"])), /too many/);
  assert.throws(() => parseHeader(toRlp(right.slice(0, 14))), /not one/);
  assert.throws(() => parseHeader(toRlp([...right.slice(0, 12), ["0x"], ...right.slice(13)])), /no list of fields/);
  assert.throws(() => parseHeader(toRlp(right).toUpperCase().replace("0X", "0x") as Hex), /one form/);
  assert.throws(() => parseHeader(toRlp(right.with(12, `0x${"00".repeat(33_000)}`))), refused);
  assert.throws(() => parseHeader(`0x${"00".repeat(40_000)}`), /too long/);
  assert.throws(() => parseHeader(`0x${"c1".repeat(33_000)}c0`), refused);
  for (const rlp of ["0x", "0x80", "0xc0", "0x0", "c0", ""]) assert.throws(() => parseHeader(rlp as Hex), refused, rlp);
});

test("letters' case means nothing, nulls are fields that are not there", () => {
  const header = { ...london, miner: zeros(20), stateRoot: `0x${london.stateRoot.slice(2).toUpperCase()}` };
  assert.equal(verifyHeader({ ...header, withdrawalsRoot: null }).stateRoot, london.stateRoot);
});

test("what is no header, too long or beyond all numbers is refused", () => {
  for (const block of [null, undefined, 1, "0x", [], {}, { hash: london.hash }])
    assert.throws(() => verifyHeader(block), refused);
  assert.throws(() => verifyHeader({ ...london, extraData: `0x${"00".repeat(40_000)}` }), refused);
  for (const name of ["number", "timestamp"]) {
    const block: Record<string, string> = { ...genesis, [name]: `0x1${"0".repeat(16)}` };
    const order =
      "parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed timestamp extraData mixHash nonce";
    const values = order.split(" ").map((field) => {
      const isNumber = ["difficulty", "number", "gasLimit", "gasUsed", "timestamp"].includes(field);
      const digits = block[field]!.slice(2);
      if (!isNumber) return `0x${digits}` as const;
      return digits === "0" ? "0x" : (`0x${digits.length % 2 === 0 ? "" : "0"}${digits}` as const);
    });
    assert.throws(() => verifyHeader({ ...block, hash: keccak256(toRlp(values)) }), /too large/);
  }
});
