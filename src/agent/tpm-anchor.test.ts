import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeCredential } from "../tpm/credential.ts";
import { computeName } from "../tpm/name.ts";
import { startSwtpm } from "../tpm/swtpm.ts";
import { openTpmAnchor } from "./tpm-anchor.ts";

const ROUNDS = Number(process.env.PIMS_ENROLL_ROUNDS ?? 15);

test("programs that enroll at once on a TPM without a resource manager do not fail for each other's keys", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "pims-anchor-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const swtpm = await startSwtpm({ folder });
  t.after(() => swtpm.stop());
  const secret = new Uint8Array(32).fill(7);
  const enroll = async (pcr: number) => {
    const anchor = await openTpmAnchor(swtpm.address, pcr);
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const { publicArea } = await anchor.showEk();
        const blob = makeCredential(publicArea, computeName(anchor.akPublic), secret);
        assert.deepEqual(await anchor.openCredential(blob), secret);
        await anchor.quote(secret);
      }
    } finally {
      await anchor.close();
    }
  };
  await Promise.all([13, 14, 15, 16].map(enroll));
});
