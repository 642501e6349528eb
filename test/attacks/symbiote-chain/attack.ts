import { join } from "node:path";
import type { Attack } from "../attack.ts";
import { PAYLOADS } from "../image.ts";
import { compileLibrary } from "./compile.ts";

const LIBRARY = "/var/tmp/libhide.so";

export const attack: Attack = {
  async act(site) {
    const library = join(site.folder, "libhide.so");
    await compileLibrary(join(import.meta.dirname, "hide.c"), library);
    await site.copyIn(library, LIBRARY, 0o644);
    const pid = await site.exec([join(PAYLOADS, "symbiote-chain")], { LD_PRELOAD: LIBRARY });
    await site.said("done");
    return pid;
  },
};
