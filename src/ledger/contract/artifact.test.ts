import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAbi } from "viem";
import { buildContracts } from "../../../scripts/build-contracts.ts";
import { artifactOf } from "./artifact.ts";
import { maxChunkBytes, maxChunks } from "./entry-data.ts";
import { registryAbi } from "./registry-abi.ts";

const root = join(import.meta.dirname, "../../..");

test("what is committed is what the pinned compiler makes of the contract", () => {
  for (const [path, text] of buildContracts()) {
    assert.ok(
      readFileSync(join(root, path), "utf8") === text,
      `${path} is out of date: run node scripts/build-contracts.ts`,
    );
  }
});

test("the typed ABI says the same as the compiler's", () => {
  const artifact = JSON.parse(readFileSync(join(root, "contracts/artifacts/BaselineRegistry.json"), "utf8"));
  const names = (abi: readonly { type: string; name?: string; inputs?: readonly unknown[] }[]) =>
    abi.map(({ type, name, inputs }) => `${type} ${name ?? ""} ${inputs?.length}`).sort();
  assert.deepEqual(names(registryAbi), names(artifact.abi));
  assert.notDeepEqual(names(registryAbi), names(parseAbi(["function other()"])));
});

test("the client's bounds are the contract's", () => {
  const source = readFileSync(join(root, "contracts/BaselineRegistry.sol"), "utf8");
  assert.match(source, /MAX_CHUNK_BYTES = 96 \* 1024 - 512;/);
  assert.equal(maxChunkBytes, 96 * 1024 - 512);
  assert.equal(Number(/MAX_CHUNKS = (\d+);/.exec(source)?.[1]), maxChunks);
});

test("the code runs on the oldest chain that is meant, one without PUSH0", () => {
  for (const name of ["BaselineRegistry", "HostRegistry", "Checkpoints"] as const) {
    const code = Buffer.from(artifactOf(name).deployedBytecode.slice(2), "hex");
    assert.ok(code.length < 24_576, "EIP-170");
    for (let at = 0; at < code.length; at++) {
      const operation = code[at]!;
      if (operation === 0xfe) break; // INVALID: constants may follow
      assert.notEqual(operation, 0x5f, `PUSH0 at ${at}`);
      if (operation >= 0x60 && operation <= 0x7f) at += operation - 0x5f;
    }
  }
});
