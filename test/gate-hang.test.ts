import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { kill } from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { GateSite, readIf, until } from "./gate-site.ts";

const SHELLS = 4;
const EXECS_A_SHELL = 5000;

/** Runs the host's own programs until it is told to stop; the longest that one of them took. */
function watchHost(): () => Promise<number> {
  let stopped = false;
  const watching = (async () => {
    let longestMs = 0;
    while (!stopped) {
      const startMs = performance.now();
      await promisify(execFile)("/bin/true", { timeout: 20_000 });
      longestMs = Math.max(longestMs, performance.now() - startMs);
      await sleep(20);
    }
    return longestMs;
  })();
  return () => {
    stopped = true;
    return watching;
  };
}

test("20 000 execs under a gate that is stopped and killed again and again: not one unjudged, and the host goes on", async (t) => {
  const site = await GateSite.open(t);
  const container = await site.start("one");
  // One of a listed size, so that it has to be read, and one that nothing listed is as long as.
  await site.run(container, "cp /bin/true /tmp/a; printf x | dd of=/tmp/a bs=1 seek=9 conv=notrunc status=none");
  await site.run(container, "cp /bin/true /tmp/b; echo >>/tmp/b; mkdir /tmp/ran");
  const hostTook = watchHost();
  const loop = `i=0; while [ $i -lt ${EXECS_A_SHELL / 2} ]; do i=$((i+1)); /tmp/a && : >/run/web/ran; /tmp/b && : >/run/web/ran; done`;
  for (let shell = 0; shell < SHELLS; shell++)
    await site.runtime.exec(container, ["/bin/sh", "-c", `${loop}; : >/run/web/done-${shell}`]);
  const ended = async () => {
    const files = Array.from({ length: SHELLS }, (_, shell) => readIf(`${site.volume("one")}/done-${shell}`));
    return (await Promise.all(files)).every((text) => text !== null) ? true : null;
  };
  let [stops, kills] = [0, 0];
  for (let round = 0; round < 6 && (await ended()) === null; round++) {
    const pid = site.supervisor.pid;
    if (pid !== null) {
      kill(pid, round % 2 === 0 ? "SIGSTOP" : "SIGKILL");
      if (round % 2 === 0) stops++;
      else kills++;
    }
    await until("another gate", () => (site.supervisor.pid !== null && site.supervisor.pid !== pid ? true : null));
    await sleep(700);
  }
  await until("the end of all execs", ended);
  assert.ok(stops > 0 && kills > 0, "the gate was stopped and killed while programs were executed");
  assert.ok((await hostTook()) < 5000);
  assert.equal(await readIf(`${site.volume("one")}/ran`), null, "a program was executed that is not the image's");
  assert.ok(site.gaps.length >= stops + kills);
  // And afterwards it is as before.
  assert.deepEqual(await site.run(container, "/bin/ls /srv/www; /tmp/a"), [
    "index.html",
    "/bin/sh: 1: /tmp/a: Operation not permitted",
    "126",
  ]);
});

test("a gate that hangs or is killed keeps nobody waiting for longer than a second or so", async (t) => {
  for (const [unanswered, expected] of [
    ["deny", "126"],
    ["allow", "0"],
  ] as const)
    await t.test(`without a gate: ${unanswered}`, async (t) => {
      const site = await GateSite.open(t, unanswered);
      const container = await site.start("one");
      // It is asked about every time, since it has been made while the container runs.
      await site.run(container, "cp /bin/true /tmp/x; /tmp/x");
      kill(site.supervisor.pid!, "SIGSTOP");
      const startMs = performance.now();
      await site.runtime.exec(container, ["/bin/sh", "-c", "/tmp/x; echo $? >/run/web/status"]);
      const status = await until("an answer", () => readIf(`${site.volume("one")}/status`));
      assert.ok(performance.now() - startMs < 10_000);
      assert.ok([expected, "0"].includes(status.trim()), status);
      await until("the gap", () => site.gaps[0] ?? null);
      assert.match(site.gaps.join("\n"), /unjudged/);
      assert.doesNotMatch(site.gaps.join("\n"), unanswered === "deny" ? /allowed/ : /refused/);
    });
});

test("of what a dead gate had read nobody is refused who is only observed", async (t) => {
  const site = await GateSite.open(t, "deny");
  // Long enough to be killed over.
  const size = 4n << 30n;
  site.files = { ...site.files, sizes: new Set([...(site.files.sizes ?? []), size]) };
  const [enforced, observed] = [await site.start("one"), await site.start("two")];
  const settings = { mode: "observe", reference: { baseline: site.files.name } } as const;
  site.supervisor.settle(observed.ref, settings, site.files);
  const command = `cp /bin/true /tmp/x; truncate -s ${size} /tmp/x; : >/run/web/begun; /tmp/x; echo $? >/run/web/status`;
  for (const container of [enforced, observed]) {
    await site.runtime.exec(container, ["/bin/sh", "-c", command]);
    await until("the program", () => readIf(`${site.volume(container.name)}/begun`));
  }
  await sleep(500);
  kill(site.supervisor.pid!, "SIGKILL");
  const statuses = [enforced, observed].map(({ name }) =>
    until("an answer", () => readIf(`${site.volume(name)}/status`)),
  );
  assert.deepEqual(await Promise.all(statuses), ["126\n", "0\n"]);
  assert.match(site.gaps.join(), /answered for unjudged: \d+ allowed, \d+ refused/);
  assert.deepEqual(site.refusals, [], "the next gate had nothing to do with it");
});
