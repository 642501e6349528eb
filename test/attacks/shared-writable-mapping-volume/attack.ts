import type { Attack } from "../attack.ts";
import { rewriteBetweenSweeps } from "../rewrite-shared.ts";

export const attack: Attack = { act: rewriteBetweenSweeps };
