// How long a revocation takes from its block to the verifier's verdict, to what the agent says, and to the gate, which
// does not let a program of the image be executed any more. Agent, gate, verifier, chain and software TPM are the real
// ones; so is the container of runc. Intervals are the defaults.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { openDemoRuntime } from "../src/demo/containers.ts";
import { prepareImages } from "../src/demo/images.ts";
import { Platform } from "../src/demo/platform.ts";
import { makeRunFolder, removeTree } from "../src/demo/run-folder.ts";
import { openRpc } from "../src/ledger/rpc/rpc.ts";
import { requireRoot } from "../src/process/root.ts";
import { type ReachRow, withRevocationTable } from "./revocation-table.ts";
import { quantile, round } from "./statistics.ts";

const TRIES = Number(process.argv[2] ?? 30);
const PATIENCE_MS = 60_000;
const LOOK_MS = 10;
const RESULTS = join(import.meta.dirname, "results");
const PAGE = join(import.meta.dirname, "../docs/performance.md");
const WAYS = ["the verifier's verdict", "the agent's own judgement", "the gate: a program of the image is refused"];

requireRoot("node bench/revocation.ts");
const closing: (() => Promise<void>)[] = [];
const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () =>
    stopping.abort(new Error("the bench was interrupted; everything that it started has ended")),
  );
try {
  const folder = await makeRunFolder();
  closing.push(() => removeTree(folder));
  const platform = new Platform(folder);
  closing.push(() => platform.close());
  const images = await prepareImages();
  const runtime = await openDemoRuntime({ kind: "runc" });
  closing.push(() => runtime.cleanup());
  await platform.startTpm("swtpm");
  await platform.startLedger();
  const publish = () => platform.publishBaseline(runtime, images.web);
  const { identity } = (await publish()).header;
  await platform.startVerifier();
  let saidMs = Number.NaN;
  await platform.startAgent(
    "nobody",
    {
      ...{ sweepIntervalMs: 1000, attestIntervalMs: 10_000 },
      gate: {
        ...{ mode: "off", unanswered: "deny", exceptions: [] },
        containers: [{ name: runtime.namePattern, mode: "enforce" }],
      },
    },
    (line) => {
      if (line.startsWith("pims: a publisher has revoked")) saidMs = performance.now();
    },
  );
  const volume = join(folder, "web");
  await mkdir(volume);
  const container = await runtime.start({ name: "web", image: images.web, identity, volume });
  const rpc = openRpc(platform.ledger.url);

  /** Polls until `look` gives something else than null. */
  const until = async <T>(what: string, look: () => Promise<T | null>): Promise<T> => {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; ) {
      const found = await look();
      if (found !== null) return found;
      await wait(LOOK_MS, undefined, { signal: stopping.signal });
    }
    throw new Error(`${what} did not come`);
  };
  const isThere = (name: string) =>
    access(join(volume, name)).then(
      () => performance.now(),
      () => null,
    );
  const verdict = (wished: string) =>
    until(wished, async () => {
      const found = await platform.view.container(container.ref.id);
      const words: (string | undefined)[] = [found?.status, ...(found?.reasons ?? []).map(({ reason }) => reason)];
      return words.includes(wished) ? performance.now() : null;
    });

  const values = WAYS.map((): number[] => []);
  for (let count = 0; count < TRIES; count++) {
    await verdict("trusted");
    const going = `while :; do /bin/sleep 0.02 || break; done 2>/dev/null; echo >/run/web/refused-${count}`;
    await until("a program that is executed", async () => {
      if ((await isThere(`going-${count}`)) !== null) return true;
      await runtime.exec(container, ["/bin/sh", "-c", `echo >/run/web/going-${count}`]);
      return null;
    });
    await runtime.exec(container, ["/bin/sh", "-c", going]);
    // At any point of everybody's interval.
    await wait(Math.random() * 3000, undefined, { signal: stopping.signal });
    saidMs = Number.NaN;
    const before = await rpc.call("eth_blockNumber", []);
    const block = until("the block", async () =>
      (await rpc.call("eth_blockNumber", [])) === before ? null : performance.now(),
    );
    await platform.revokeBaseline(identity);
    const blockMs = await block;
    const reached = await Promise.all([
      verdict("baseline-revoked"),
      until("the agent's word", async () => (Number.isNaN(saidMs) ? null : saidMs)),
      until("the gate's refusal", () => isThere(`refused-${count}`)),
    ]);
    for (const [index, atMs] of reached.entries()) values[index]!.push(atMs - blockMs);
    console.error(`${count + 1} of ${TRIES}: ${reached.map((atMs) => Math.round(atMs - blockMs)).join(", ")} ms`);
    await publish();
  }
  keep(values.map((times) => times.toSorted((a, b) => a - b)));
} finally {
  for (const close of closing.reverse()) await close().catch((error: unknown) => console.error(error));
}

function keep(sorted: readonly (readonly number[])[]): void {
  const rows = sorted.map((times, index): ReachRow => {
    const at = (share: number) => round(quantile(times, share), 0);
    return { what: WAYS[index]!, revocations: times.length, minMs: at(0), medianMs: at(0.5), maxMs: at(1) };
  });
  console.log(JSON.stringify(rows));
  if (TRIES < 30) return;
  mkdirSync(RESULTS, { recursive: true });
  const values = sorted.map((times) => times.map((time) => round(time, 0)));
  const result = { schema: "pims.bench-revocation/v1", rows, values };
  writeFileSync(join(RESULTS, "revocation.json"), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(PAGE, withRevocationTable(readFileSync(PAGE, "utf8"), rows));
}
