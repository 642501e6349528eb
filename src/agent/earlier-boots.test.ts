import assert from "node:assert/strict";
import { appendFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isHeld, keyOf } from "../attest/host-state.ts";
import { actionEvent, codeEvent, containerOf, startEvent, violationEvent } from "../attest/sample-events.ts";
import { bootIdOf, TestHost } from "../attest/testing.ts";
import { earlierLogPath } from "../log/earlier-logs.ts";
import { parseRecord } from "../log/record.ts";
import { Bench, TPM } from "../verifier/testing.ts";
import { EarlierBoots } from "./earlier-boots.ts";

const web = containerOf("web");

async function readBoots(host: TestHost, maxBytes?: number): Promise<{ boots: EarlierBoots; said: string[] }> {
  const said: string[] = [];
  const { records } = await host.collect("00", 0);
  const [boot] = parseRecord(records[0]!, 0).events;
  assert.ok(boot?.type === "boot");
  return { boots: await EarlierBoots.read(host.logFolder, boot, (text) => void said.push(text), maxBytes), said };
}

test("an agent's earlier logs add up to what the verifier knows of the host", async (t) => {
  const bench = await Bench.open(t);
  const host = await TestHost.start(t);
  bench.verifier.enroll("node1", host.akPublic, TPM);
  await bench.attest(host, startEvent(web), codeEvent(web, "/usr/bin/x"), violationEvent(web), actionEvent(web));
  await host.reboot();
  await host.append(startEvent(containerOf("app")));
  await host.reboot();
  const { boots, said } = await readBoots(host);
  assert.deepEqual([boots.id, boots.since(bootIdOf(0)).length, said], [bootIdOf(2), 2, []]);
  assert.deepEqual([boots.since(bootIdOf(1)).length, boots.since(bootIdOf(7))], [1, []]);
  const container = boots.state.containers.get(keyOf(web))!;
  assert.deepEqual([container.violations.size, container.code.size, container.earlier.code.size], [1, 0, 1]);
  assert.ok(container.stoppedAt !== null && !isHeld(container));

  assert.equal((await bench.attest(host)).accepted, true);
  const { containers } = await bench.verifier.reportHost("node1");
  assert.deepEqual(
    containers.map((one) => [one.container.name, one.stoppedAt]),
    [...boots.state.containers.values()].map((one) => [one.container.name, one.stoppedAt]),
  );
});

test("an earlier log that is broken or gone is told of, and keeps the agent from nothing", async (t) => {
  const host = await TestHost.start(t);
  await host.append(startEvent(web), violationEvent(web));
  await host.reboot();
  const path = earlierLogPath(host.logFolder, bootIdOf(0));
  await appendFile(path, "no record\n");
  const broken = await readBoots(host);
  assert.match(broken.said.join(), /not all logs of earlier boots can be read: record 2 /);
  assert.equal(broken.boots.state.containers.get(keyOf(web))?.violations.size, 1, "what stands before it counts");
  assert.equal(broken.boots.state.lastSweep, null);
  await writeFile(path, "");
  assert.deepEqual((await readBoots(host)).boots.since(bootIdOf(0)), []);
});

test("logs of boots that are neither sent nor added up any more are removed", async (t) => {
  const host = await TestHost.start(t);
  await host.log.rotate(0);
  await host.reboot();
  await host.append(startEvent(web));
  await host.reboot();
  await writeFile(join(host.logFolder, "notes.jsonl"), "");
  const files = async () => (await readdir(host.logFolder)).sort();
  const before = await files();
  const [oldest, newer] = [bootIdOf(0), bootIdOf(1)].map((id) => `measurements-${id}`);
  const rest = ["measurements.jsonl", "notes.jsonl"];
  assert.deepEqual(before, [`${oldest}-0.jsonl`, `${oldest}.jsonl`, `${newer}.jsonl`, ...rest]);

  await (await readBoots(host)).boots.proved();
  assert.deepEqual(await files(), before, "what is added up stays");
  const { size } = await stat(join(host.logFolder, `${newer}.jsonl`));
  const { boots } = await readBoots(host, size);
  assert.deepEqual(await files(), before, "and what may still be sent");
  await boots.proved();
  assert.deepEqual(await files(), [`${newer}.jsonl`, ...rest]);
  const again = await readBoots(host);
  assert.deepEqual([again.said, again.boots.state.containers.size], [[], 1]);

  await appendFile(join(host.logFolder, `${newer}.jsonl`), "no record\n");
  await writeFile(join(host.logFolder, `${oldest}.jsonl`), "");
  await (await readBoots(host)).boots.proved();
  assert.equal((await files()).length, 4, "where something is wrong nothing is removed");
});
