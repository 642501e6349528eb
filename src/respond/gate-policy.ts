import { z } from "zod";
import { matchesGlob } from "../core/glob.ts";

const mode = z.enum(["off", "observe", "enforce"]);
const names = z.string().min(1).max(256);

export const gateSchema = z.strictObject({
  /** What holds in a container that no row of `containers` matches. */
  mode: mode.default("observe"),
  /** Names of containers, `*` for any characters; the first row that matches counts. */
  containers: z
    .array(z.strictObject({ name: names, mode }))
    .max(256)
    .default([]),
  /** What becomes of a program of a container in `enforce` while nobody can judge it. */
  unanswered: z.enum(["deny", "allow"]).default("deny"),
  /** Containers that are only observed until then. */
  exceptions: z
    .array(z.strictObject({ name: names, until: z.iso.datetime() }))
    .max(256)
    .default([]),
});
export type GatePolicy = z.infer<typeof gateSchema>;

/** The mode that holds in the container of this name; `nowMs` is the wall clock's, milliseconds since 1970. */
export function gateModeOf(policy: GatePolicy, name: string, nowMs: number): z.infer<typeof mode> {
  const wanted = policy.containers.find((row) => matchesGlob(row.name, name))?.mode ?? policy.mode;
  if (wanted !== "enforce") return wanted;
  const isExcepted = policy.exceptions.some((row) => matchesGlob(row.name, name) && nowMs < Date.parse(row.until));
  return isExcepted ? "observe" : "enforce";
}

/** Whether any container can be in `mode`. */
export function usesMode(policy: GatePolicy, mode: "observe" | "enforce"): boolean {
  return policy.mode === mode || policy.containers.some((row) => row.mode === mode);
}
