import { type JsonText, jsonTextBytes, printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { parseBaseline } from "./format.ts";
import { type Baseline, formatHeader } from "./lines.ts";
import { pathKey } from "./lookup.ts";

/**
 * The baseline with other programs and libraries that may make code as they run. Throws `usage` for a path that is none
 * of the image's programs or libraries, or, where it is to be taken away, has no allowance.
 */
export function editJitAllowance(
  baseline: Baseline,
  { allow, deny }: { readonly allow: readonly JsonText[]; readonly deny: readonly JsonText[] },
): Baseline {
  if (allow.length === 0 && deny.length === 0) return baseline;
  const allowed = new Map(baseline.header.jit.map((path) => [pathKey(path), path]));
  const code = new Set(baseline.entries.filter(({ kind }) => kind !== "script").map(({ path }) => pathKey(path)));
  for (const path of allow) {
    if (!code.has(pathKey(path)))
      throw new PimsError(
        "usage",
        `the image has no program or library ${printable(path)} that could be allowed to compile`,
      );
    allowed.set(pathKey(path), path);
  }
  for (const path of deny) {
    if (!allowed.delete(pathKey(path)))
      throw new PimsError(
        "usage",
        `${printable(path)} is not allowed to compile, so that nothing is to be taken away`,
        {
          hint: "'pims baseline show FILE' lists what is",
        },
      );
  }
  const jit = [...allowed.values()].sort((a, b) => Buffer.compare(jsonTextBytes(a), jsonTextBytes(b)));
  return parseBaseline([formatHeader({ ...baseline.header, jit }), ...baseline.lines.slice(1)]);
}
