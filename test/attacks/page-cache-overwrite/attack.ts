import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { inspectRuncContainer } from "../../../src/container/runc.ts";
import type { Attack } from "../attack.ts";
import { SPARE_PROGRAM } from "../image.ts";
import { until } from "../site.ts";

export const attack: Attack = {
  async act(site) {
    const { bundle } = await inspectRuncContainer(site.container.ref.id);
    const file = join(bundle!, "lower", SPARE_PROGRAM);
    const writer = spawn("python3", [join(import.meta.dirname, "overwrite.py"), file], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const exited = once(writer, "exit");
    const lines = createInterface(writer.stdout)[Symbol.asyncIterator]();
    const answer = async () => (await lines.next()).value as string | undefined;
    // It puts the file back as it was when its input ends.
    site.afterwards(async () => {
      writer.stdin.end();
      await exited;
    });
    if ((await answer()) !== "touched") throw new Error("the file below the overlay could not be mapped");
    const pid = await site.exec([SPARE_PROGRAM]);
    // Its file is its own a moment before its code is mapped: it is measured unchanged once it waits.
    const waits = () => readFileSync(`/proc/${pid}/status`, "latin1").includes("S (sleeping)");
    await until("the program", () => readlinkSync(`/proc/${pid}/exe`) === SPARE_PROGRAM && waits());
    for (let attempt = 0; attempt < 20; attempt++) {
      await site.sweep();
      writer.stdin.write("write\n");
      if ((await answer()) === "unseen") return pid;
    }
    throw new Error("each write changed the file's times");
  },
};
