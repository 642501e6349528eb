import assert from "node:assert/strict";
import { test } from "node:test";
import { vector, withoutVectors } from "../../../test/vectors.ts";
import { sha256 } from "../../core/digest.ts";
import { survivesMutation } from "../fixtures.ts";
import { WireWriter } from "../wire.ts";
import { parseCel, verifyCelDigests } from "./cel.ts";

function recordOf(recnum: bigint, text: string): Uint8Array {
  const content = new WireWriter().u8(80).u32(text.length).bytes(Buffer.from(text)).done();
  return new WireWriter()
    .u8(0)
    .u32(8)
    .u64(recnum)
    .u8(1)
    .u32(1)
    .u8(13)
    .u8(3)
    .u32(37)
    .u8(0x0b)
    .u32(32)
    .bytes(sha256(content))
    .bytes(content)
    .done();
}

test("a record, its register and its digest over the whole content", () => {
  const [record, ...more] = parseCel(recordOf(0n, "hello"));
  assert.equal(more.length, 0);
  assert.deepEqual([record!.recnum, record!.register, record!.contentType], [0n, { kind: "pcr", index: 13 }, 80]);
  verifyCelDigests(record!);
  const altered = { ...record!, content: new Uint8Array([...record!.content.subarray(0, -1), 0]) };
  assert.throws(() => verifyCelDigests(altered), { code: "tpm-malformed", message: /sha256 digest of record 0/ });
  assert.throws(() => verifyCelDigests({ ...record!, digests: new Map() }), { code: "tpm-malformed" });
});

test("an empty log is a log; cut, altered and renumbered ones are malformed", () => {
  const whole = recordOf(0n, "hello");
  assert.deepEqual(parseCel(new Uint8Array(0)), []);
  // All but the first beginning, which is the empty log.
  for (let length = 1; length < whole.length; length++)
    assert.throws(() => parseCel(whole.subarray(0, length)), { code: "tpm-malformed" }, `cut to ${length} bytes`);
  survivesMutation(whole, parseCel);
  assert.throws(() => parseCel(recordOf(1n, "hello")), { code: "tpm-malformed", message: /record 1 where 0/ });
});

test("a confidential virtual machine's log of its containers", { skip: withoutVectors() }, () => {
  const text = Buffer.from(vector("go-tpm-tools-cel.b64")).toString("latin1");
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  const records = parseCel(bytes);
  assert.equal(records.length, 18);
  for (const record of records) {
    assert.deepEqual([...record.digests.keys()], ["sha384"]);
    verifyCelDigests(record);
  }
  survivesMutation(bytes, (log) => {
    for (const record of parseCel(log)) verifyCelDigests(record);
  });
});
