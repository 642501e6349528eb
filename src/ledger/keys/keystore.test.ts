import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { privateKeyToAddress } from "viem/accounts";
import { toHex } from "../../core/bytes.ts";
import { decryptSecret, encryptSecret, isKeystore } from "./keystore.ts";

/** A file that geth wrote, among its public test data: for this address, with the passphrase foobar. */
const published = {
  address: "7ef5a6135f1fd6a02593eedc869c6d41d934aef8",
  crypto: {
    cipher: "aes-128-ctr",
    ciphertext: "1d0839166e7a15b9c1333fc865d69858b22df26815ccf601b28219b6192974e1",
    cipherparams: { iv: "8df6caa7ff1b00c4e871f002cb7921ed" },
    kdf: "scrypt",
    kdfparams: {
      dklen: 32,
      n: 8,
      p: 16,
      r: 8,
      salt: "e5e6ef3f4ea695f496b643ebd3f75c0aa58ef4070e90c80c5d3fb0241bf1595c",
    },
    mac: "6d16dfde774845e4585357f24bce530528bc69f4f84e1e22880d34fa45c273e5",
  },
  id: "950077c7-71e3-4c44-a4a1-143919141ed4",
  version: 3,
};
const cost = { n: 1024, r: 8, p: 1 };
const address = "0".repeat(40);

test("a file that geth wrote opens with its passphrase, and gives its address", async () => {
  const secret = await decryptSecret(JSON.stringify(published), "foobar");
  assert.equal(privateKeyToAddress(`0x${toHex(secret)}`).toLowerCase(), `0x${published.address}`);
});

test("by default deriving the key costs 256 MiB", async () => {
  const text = await encryptSecret(randomBytes(32), address, "passphrase");
  const { kdfparams } = JSON.parse(text).crypto;
  assert.deepEqual([kdfparams.n, kdfparams.r, kdfparams.p, kdfparams.dklen], [262_144, 8, 1, 32]);
});

test("what is encrypted is decrypted, by the same passphrase only, and never looks the same twice", async () => {
  const secret = randomBytes(32);
  const [one, two] = [
    await encryptSecret(secret, address, "päss", cost),
    await encryptSecret(secret, address, "päss", cost),
  ];
  assert.deepEqual(new Uint8Array(await decryptSecret(one, "päss")), new Uint8Array(secret));
  assert.equal(toHex(await decryptSecret(two, "päss")), toHex(secret));
  const hidden = (text: string) => JSON.parse(text).crypto.ciphertext as string;
  assert.notEqual(hidden(one), hidden(two));
  assert.ok(!one.includes(toHex(secret)));
  await assert.rejects(decryptSecret(one, "pass"), { code: "passphrase-wrong" });
});

test("a byte that was changed is noticed, wherever it counts", async () => {
  const text = await encryptSecret(randomBytes(32), address, "passphrase", cost);
  const file = JSON.parse(text);
  const flipped = (digits: string) => `${digits.slice(0, -1)}${digits.endsWith("0") ? "1" : "0"}`;
  const { crypto } = file;
  const changes = [
    { ...crypto, ciphertext: flipped(crypto.ciphertext) },
    { ...crypto, mac: flipped(crypto.mac) },
    { ...crypto, kdfparams: { ...crypto.kdfparams, salt: flipped(crypto.kdfparams.salt) } },
    { ...crypto, kdfparams: { ...crypto.kdfparams, n: 2048 } },
    { ...crypto, kdfparams: { ...crypto.kdfparams, p: 2 } },
  ];
  for (const change of changes) {
    const altered = JSON.stringify({ ...file, crypto: change });
    await assert.rejects(decryptSecret(altered, "passphrase"), { code: "passphrase-wrong" });
  }
});

test("another form, or a file that asks for gigabytes or hours, is refused before any work", async () => {
  const { crypto } = published;
  const other = (change: object) => JSON.stringify({ ...published, crypto: { ...crypto, ...change } });
  const texts = [
    "",
    "[]",
    JSON.stringify({ ...published, version: 1 }),
    other({ kdf: "pbkdf2" }),
    other({ cipher: "aes-128-cbc" }),
    other({ ciphertext: "" }),
    other({ ciphertext: crypto.ciphertext.slice(2) }),
    other({ cipherparams: { iv: "00" } }),
    ...[
      { n: 2 ** 30 },
      { n: 2 ** 23, r: 1 },
      { n: 2 ** 18, r: 64 },
      { n: 2 ** 18, r: 1 },
      { n: 1000 },
      { n: 0 },
      { n: 1.5 },
      { r: 0 },
      { p: 1000 },
      { dklen: 16 },
      { salt: "" },
      { salt: "zz".repeat(32) },
    ].map((change) => other({ kdfparams: { ...crypto.kdfparams, ...change } })),
  ];
  assert.ok(isKeystore(JSON.stringify(published)));
  for (const text of texts) {
    assert.ok(!isKeystore(text), text);
    await assert.rejects(decryptSecret(text, "foobar"), { code: "keystore-malformed" });
  }
});
