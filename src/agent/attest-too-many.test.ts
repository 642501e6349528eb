// A log that the verifier cannot take is not sent to it again and again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PimsError } from "../core/errors.ts";
import { TestSite } from "./testing.ts";
import type { VerifierClient } from "./verifier-client.ts";

test("records-too-many: the agent says so, and waits before it sends its log again", async (t) => {
  const site = await TestSite.open(t);
  const { client } = site;
  let sent = 0;
  const verifier: VerifierClient = Object.assign(Object.create(client), {
    nonce: () => client.nonce(),
    wanted: (...args: Parameters<VerifierClient["wanted"]>) => client.wanted(...args),
    async evidence() {
      sent++;
      throw new PimsError("records-too-many", "more records are not proved yet than the verifier takes of one host");
    },
  });
  site.startAgent({ attestIntervalMs: 100 }, { verifier });
  for (const end = performance.now() + 20_000; sent === 0 && performance.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.equal(sent, 1);
  assert.match(site.said.join("\n"), /more records are not proved yet/);
});
