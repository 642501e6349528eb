import assert from "node:assert/strict";
import { test } from "node:test";
import { containerOf, digestOf, processStartEvent, TIME } from "../attest/sample-events.ts";
import { describeEvent, shortDigest } from "./describe.ts";

const web = containerOf("web");
const object = (path: string, digest: string | null) => ({ path, dev: "0:42", ino: "9", digest });

test("a process's start is one line, with script, doubt and preloaded libraries", () => {
  const line = (fields: Parameters<typeof processStartEvent>[2]) =>
    describeEvent(processStartEvent(web, "/usr/bin/dash", fields)).slice(TIME.length);
  const head = ` process-start   web (docker ${web.id.slice(0, 12)}) 4711 /usr/bin/dash ${shortDigest(digestOf("/usr/bin/dash"))}, user 0, parent 1`;
  const digest = digestOf("x");
  const short = shortDigest(digest);
  assert.equal(line({}), head);
  assert.equal(line({ unresolved: "stdin" }), `${head}, no script (stdin)`);
  assert.equal(line({ script: object("/tmp/\nx.sh", digest) }), `${head}, script /tmp/\\u000ax.sh ${short}`);
  assert.equal(line({ script: object("/x", null), unresolved: "not-found" }), `${head}, script /x - (not-found)`);
  const preloads = [{ by: "LD_AUDIT", said: digest, object: object("/y.so", digest) } as const];
  assert.equal(line({ preloads }), `${head}, LD_AUDIT /y.so ${short}`);
});
