import type { Attack } from "../attack.ts";
import { runForeignTinyProgram } from "../run-tiny-program.ts";

export const attack: Attack = { act: (site) => runForeignTinyProgram(site, "static") };
