import { printable } from "../core/bytes.ts";
import { PimsError } from "../core/errors.ts";
import { parseBaseline } from "./format.ts";
import { type Baseline, formatHeader } from "./lines.ts";
import { portText } from "./schema.ts";

/** By number, then by protocol, each once: an image's configuration keeps them in no order. */
export function sortPorts(ports: readonly string[]): string[] {
  const number = (port: string): number => Number(port.slice(port.indexOf("/") + 1));
  return [...new Set(ports)].sort((a, b) => number(a) - number(b) || (a < b ? -1 : 1));
}

/** The baseline with further ports, such as `tcp/80`, that the image may listen on. Throws `usage` for what is none. */
export function addPorts(baseline: Baseline, added: readonly string[]): Baseline {
  if (added.length === 0) return baseline;
  const bad = added.find((port) => !portText.safeParse(port).success);
  if (bad !== undefined)
    throw new PimsError("usage", `${printable(bad)} is no port`, { hint: "one is written like tcp/80 or udp/53" });
  const ports = sortPorts([...baseline.header.ports, ...added]);
  return parseBaseline([formatHeader({ ...baseline.header, ports }), ...baseline.lines.slice(1)]);
}
