import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBaseline } from "../baseline/format.ts";
import { formatEntry, formatHeader, type LoaderVariables } from "../baseline/lines.ts";
import type { JsonText } from "../core/bytes.ts";
import { sha256Hex } from "../core/digest.ts";
import type { ProcessStartEvent } from "../log/event.ts";
import type { Finding } from "../log/finding.ts";
import type { ContainerStart } from "../log/start.ts";
import { applyRecords, emptyHostState, MAX_PROCESS_STARTS } from "./host-state.ts";
import { judgeProcessStarts } from "./judge-process-start.ts";
import { referenceValues } from "./reference-values.ts";
import {
  codeEvent,
  containerOf,
  digestOf,
  imageOf,
  processStartEvent,
  startEvent,
  sweepEvent,
} from "./sample-events.ts";
import { decide } from "./verdict.ts";

const SHELL = "/usr/bin/dash";
const LISTED = ["/srv/listed.sh", SHELL, "/usr/lib/libm.so.6"];
const web = containerOf("web");
const file = (path: JsonText, digest: string | null = digestOf(String(path))) => ({
  path,
  dev: "0:42",
  ino: "9",
  digest,
});

/** A baseline of the listed files, with what its image preloads. */
function baseline(loader?: LoaderVariables, preloadFile?: string) {
  const facts = { name: "web", architecture: "amd64", ports: [], entrypoint: [], jit: [] };
  const entries = [...(preloadFile === undefined ? [] : ["/etc/ld.so.preload"]), ...LISTED].map((path) =>
    formatEntry({
      path,
      kind: "script",
      size: 1n,
      sha256: path.endsWith("preload") ? sha256Hex(preloadFile!) : digestOf(path),
      segments: [],
    }),
  );
  const header = formatHeader({ ...facts, identity: imageOf("web"), loader, entries: entries.length });
  return referenceValues(parseBaseline([header, ...entries]));
}

function judge(fields: Partial<ProcessStartEvent>, reference = baseline()): [string, JsonText, string][] {
  return judgeProcessStarts([processStartEvent(web, SHELL, fields)], reference, null).map(
    ({ reason, object, text }) => [reason, object.path, text],
  );
}

test("a script that the image does not have, or has otherwise, is found with who runs it", () => {
  assert.deepEqual(judge({ script: file("/tmp/x.sh") }), [
    [
      "unknown-script",
      "/tmp/x.sh",
      "process 4711 (/usr/bin/dash) runs /tmp/x.sh, a script that the image does not have",
    ],
  ]);
  assert.deepEqual(judge({ script: file("/srv/listed.sh", digestOf("other")) }), [
    [
      "file-modified",
      "/srv/listed.sh",
      "the script /srv/listed.sh, run by process 4711 (/usr/bin/dash), is not the image's file",
    ],
  ]);
  assert.deepEqual(judge({ script: file("/anywhere", digestOf("/srv/listed.sh")) }), []);
  assert.deepEqual(judge({ script: file("/srv/listed.sh"), unresolved: "changed" }), []);
  assert.deepEqual(judge({ script: file("/tmp/gone.sh", null), unresolved: "not-found" }), []);
  assert.deepEqual(judge({ unresolved: "stdin" }), []);
});

test("an interpreter that is not the image's is found as a program, and nothing without a baseline", () => {
  assert.deepEqual(judge({ object: file("/tmp/sh"), script: file("/tmp/x.sh") }), []);
  const start = processStartEvent(web, SHELL, { script: file("/tmp/x.sh") });
  assert.deepEqual(judgeProcessStarts([start], null, null), []);
});

test("a preloaded library is found with how it came in and what it is", () => {
  const said = sha256Hex("/usr/lib/libm.so.6");
  const preload = (by: ProcessStartEvent["preloads"][number]["by"], object: Finding["object"]) => ({
    preloads: [{ by, said, object }],
  });
  const text = (fields: Partial<ProcessStartEvent>, reference = baseline()) =>
    judge(fields, reference).map((one) => one[2]);
  const who = "process 4711 (/usr/bin/dash)";
  assert.deepEqual(judge(preload("LD_PRELOAD", file("/tmp/x.so"))), [
    ["preload-injection", "/tmp/x.so", `LD_PRELOAD makes ${who} load /tmp/x.so, which the image does not have`],
  ]);
  assert.deepEqual(text(preload("LD_AUDIT", file("/usr/lib/libm.so.6"))), [
    `LD_AUDIT makes ${who} load /usr/lib/libm.so.6, a file of the image that the image itself does not preload`,
  ]);
  assert.deepEqual(text(preload("/etc/ld.so.preload", file("/usr/lib/libm.so.6", digestOf("other")))), [
    `/etc/ld.so.preload makes ${who} load /usr/lib/libm.so.6, which is not the image's file`,
  ]);
  assert.deepEqual(text(preload("LD_PRELOAD", file("libx.so", null))), [
    `LD_PRELOAD makes ${who} load libx.so, which is looked for by that name`,
  ]);
  const asked = { LD_PRELOAD: "/usr/lib/libm.so.6" };
  const preloaded = preload("LD_PRELOAD", file("/usr/lib/libm.so.6"));
  assert.deepEqual(text(preloaded, baseline(asked)), []);
  assert.equal(text(preloaded, baseline({ LD_PRELOAD: "/other" })).length, 1);
  assert.equal(text(preload("LD_AUDIT", file("/usr/lib/libm.so.6")), baseline(asked)).length, 1);
  const byFile = preload("/etc/ld.so.preload", file("/usr/lib/libm.so.6"));
  assert.deepEqual(text(byFile, baseline(undefined, "/usr/lib/libm.so.6")), []);
  assert.equal(text(byFile, baseline(undefined, "/other")).length, 1);
});

test("a variable that the container was started with is judged with the container's start", () => {
  const object = file("/tmp/x.so");
  const start = processStartEvent(web, SHELL, {
    preloads: [{ by: "LD_PRELOAD", said: sha256Hex("/tmp/x.so"), object }],
  });
  const startedWith = (name: string, value: string) => {
    const runtime = { loader: [{ name, value, image: false }] } as unknown as ContainerStart["runtime"];
    return judgeProcessStarts([start], baseline(), { runtime } as ContainerStart).length;
  };
  assert.equal(startedWith("LD_PRELOAD", "/tmp/x.so"), 0);
  assert.equal(startedWith("LD_PRELOAD", "/tmp/y.so"), 1);
  assert.equal(startedWith("LD_AUDIT", "/tmp/x.so"), 1);
});

test("one script and one library are one finding, in whatever process they are seen again; a preloaded library is told once", () => {
  const state = emptyHostState();
  const object = file("/tmp/x.so");
  const preloads = [{ by: "LD_PRELOAD", said: digestOf("x"), object } as const];
  const byName = [{ by: "LD_AUDIT", said: digestOf("y"), object: file("liby.so", null) } as const];
  const events = [
    startEvent(web),
    codeEvent(web, "/tmp/x.so", { role: "library", object }),
    codeEvent(web, "/opt/liby.so", { role: "library" }),
    codeEvent(web, "/opt/notliby.so", { role: "library" }),
    processStartEvent(web, SHELL, { script: file("/tmp/x.sh"), preloads }),
    processStartEvent(web, SHELL, { script: file("/tmp/x.sh"), preloads: byName, user: 7, pid: 5 }),
    processStartEvent(web, "/srv/listed.sh", { script: file("/tmp/x.sh"), preloads, pid: 6 }),
    sweepEvent(),
  ];
  applyRecords(state, [{ recnum: 0, pcr: 13, digest: "", events }]);
  const [container] = state.containers.values();
  assert.equal(container!.processStarts.size, 3);
  const { findings } = decide(state, container!, { found: true, reference: baseline() }, { standing: "good" });
  assert.deepEqual(
    findings.map(({ reason, pid, object }) => [reason, pid, object.path]),
    [
      ["unknown-script", 4711, "/tmp/x.sh"],
      ["preload-injection", 4711, "/tmp/x.so"],
      ["preload-injection", 5, "liby.so"],
      ["unknown-library", 4711, "/opt/notliby.so"],
    ],
  );
});

test("ways of starting beyond the bound make coverage incomplete and take no memory", () => {
  const state = emptyHostState();
  const start = (user: number) => processStartEvent(web, SHELL, { user });
  const apply = (events: readonly ReturnType<typeof start>[]) =>
    applyRecords(state, [{ recnum: 0, pcr: 13, digest: "", events: [...events, sweepEvent()] }]);
  applyRecords(state, [{ recnum: 0, pcr: 13, digest: "", events: [startEvent(web)] }]);
  const [container] = state.containers.values();
  const status = () => decide(state, container!, { found: true, reference: baseline() }, { standing: "good" }).status;
  apply(Array.from({ length: MAX_PROCESS_STARTS - 1 }, (_, user) => start(user)));
  apply([start(0)]);
  assert.equal(status(), "trusted");
  apply([start(MAX_PROCESS_STARTS), start(MAX_PROCESS_STARTS + 1)]);
  assert.equal(container!.processStarts.size, MAX_PROCESS_STARTS);
  assert.equal(status(), "unknown");
});
