import assert from "node:assert/strict";
import { test } from "node:test";
import { PimsError } from "../core/errors.ts";
import { TPM_CC } from "../tpm/constants.ts";
import { commandCode, type Fate } from "../tpm/relay.ts";
import { TestSite } from "./testing.ts";

// No container is there, so only attesting appends records; a sweeper's append ends the agent in the same way.
for (const [name, fate] of [
  ["refuses", 0x921],
  ["is gone", "hang-up"],
] as const)
  test(`an agent whose TPM ${name} while a record is on disk ends with one sentence`, async (t) => {
    let fault: Fate = "pass";
    let failing = false;
    const site = await TestSite.open(t, {
      fateOf: (command) => {
        // Gone is gone; a TPM that refuses still answers to others.
        failing ||= fault !== "pass" && commandCode(command) === TPM_CC.PCR_Extend;
        return failing && (fate === "hang-up" || commandCode(command) === TPM_CC.PCR_Extend) ? fault : "pass";
      },
    });
    const { running } = site.startAgent();
    await site.until("good evidence", ({ outcome, standing }) => outcome === "accepted" && standing === "good");
    fault = fate;
    await assert.rejects(running, (error) => {
      assert.ok(error instanceof PimsError && ["extend-undecided", "log-failed"].includes(error.code), String(error));
      assert.match(error.message, /^[^\n]*a record is on disk[^\n]*$/);
      return true;
    });
    assert.ok(site.log.failed);
    const count = (await site.records()).length;
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal((await site.records()).length, count, "nothing more is written");
  });
