// What becomes of an entry point that the image does not have, with the OCI hook and without it, and what the hook costs a
// container's start. `node bench/container-start.ts [STARTS]`, as root.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { listenForStarts, START_SOCKET } from "../src/agent/start-socket.ts";
import { requireRoot } from "../src/process/root.ts";
import { GateSite, readIf, until } from "../test/gate-site.ts";
import { putForeign, runHooked } from "../test/hooked-runc.ts";
import { quantile, round } from "./statistics.ts";

requireRoot("node bench/container-start.ts");
const starts = Number(process.argv[2] ?? 20);
const closing: (() => unknown)[] = [];
const owner = { after: (work: () => unknown) => void closing.push(work) } as Pick<TestContext, "after"> as TestContext;
const KINDS = [
  { name: "entry point in the image, root an overlay", root: "overlay", place: "image" },
  { name: "entry point on a volume, root an overlay", root: "overlay", place: "volume" },
  { name: "entry point on a volume, root a plain folder", root: "plain", place: "volume" },
] as const;

try {
  const site = await GateSite.open(owner);
  const folder = await mkdtemp(join(tmpdir(), "pims-gs-"));
  closing.push(() => rm(folder, { recursive: true, force: true }));
  const server = await listenForStarts(folder, (pid) => site.supervisor.mark(pid));
  closing.push(() => server.close());
  const path = join(import.meta.dirname, "../bin/pims-hook");
  const hook = { path, env: [`PIMS_GATE_SOCKET=${join(folder, START_SOCKET)}`, "PIMS_GATE=require"] };
  let number = 0;
  for (const { name, root, place } of KINDS) {
    const volume = site.volume(`${root}-${place}`);
    await mkdir(volume);
    await putForeign(site, volume);
    const count = { with: 0, without: 0 };
    const times = { with: [] as number[], without: [] as number[] };
    for (let turn = 0; turn < starts; turn++)
      for (const way of turn % 2 === 0 ? (["with", "without"] as const) : (["without", "with"] as const)) {
        const args = place === "volume" ? ["/run/web/foreign", "/run/web/ran"] : ["/foreign", "/run/web/ran"];
        const ends: (() => unknown)[] = [];
        const mine = { after: (work: () => unknown) => void ends.push(work) } as Pick<TestContext, "after">;
        const options = { name: `n${number++}`, args, volume, root, hook: way === "with" ? hook : null };
        try {
          const { id, said, tookMs } = await runHooked(site, mine, { ...options, foreignIn: place });
          times[way].push(tookMs);
          const end = await until(`the end of ${name}, ${way} the hook: ${said}${site.gaps}`, async () => {
            if ((await readIf(join(volume, "ran"))) !== null) return "ran";
            return site.refusals.some(({ container }) => container.id === id) ? "refused" : null;
          });
          if (end === "ran") count[way]++;
        } finally {
          for (const work of ends.reverse()) await work();
          await rm(join(volume, "ran"), { force: true });
        }
      }
    const median = (values: number[]) =>
      round(
        quantile(
          values.toSorted((a, b) => a - b),
          0.5,
        ),
      );
    const cost = times.with.map((value, index) => value - times.without[index]!);
    console.log(
      `${name}: ran ${count.without} of ${starts} without the hook, ${count.with} of ${starts} with it; runc run took ${median(times.without)} ms without, ${median(times.with)} ms with it, ${median(cost)} ms more`,
    );
  }
} finally {
  for (const work of closing.reverse()) await work();
}
