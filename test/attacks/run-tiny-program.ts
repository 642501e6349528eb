import { readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Site, until } from "./site.ts";
import { type TinyProgram, tinyProgram } from "./tiny-program.ts";

/** Starts the image's own program of a kind and, beside it, one that the image does not have. Returns the latter's process. */
export async function runForeignTinyProgram(site: Site, kind: TinyProgram): Promise<number> {
  const listed = await site.exec([`/usr/local/bin/${kind}`]);
  await until("the listed program", () => readlinkSync(`/proc/${listed}/exe`) === `/usr/local/bin/${kind}`);
  const foreign = join(site.folder, "kworker");
  writeFileSync(foreign, Buffer.concat([tinyProgram(kind), Buffer.from("foreign")]));
  await site.copyIn(foreign, "/tmp/kworker");
  const pid = await site.exec(["/tmp/kworker"]);
  await until("the foreign program", () => readlinkSync(`/proc/${pid}/exe`) === "/tmp/kworker");
  return pid;
}
