import { z } from "zod";
import { matchesGlob } from "../core/glob.ts";
import { isClientPort, type ListenAddress, listenerHost, listenerName } from "../process/listen-address.ts";

/** Kinds of listeners of which an image cannot say that they belong to it, and which are judged only when policy says so. */
export const UNJUDGED_KINDS = ["loopback", "unix", "udp-client"] as const;
export type UnjudgedKind = (typeof UNJUDGED_KINDS)[number];

/** `tcp/80`, `udp/8000-8100`, `tcp/10.0.0.5:80`, `udp/[::]:53`, `tcp/127.*:*`, `unix/@name*`. */
const listenerPattern = z
  .string()
  .max(256)
  .regex(
    /^(?:(?:tcp|udp)\/(?:[^ /]+:)?(?:\*|\d{1,5}(?:-\d{1,5})?)|unix\/.+)$/,
    "such as tcp/80, udp/[::]:53 or unix/@name",
  );

/**
 * What containers may listen on besides what their image exposes. The same must be given to agent and verifier: what either
 * of them does not allow is a finding.
 */
export const listenerPolicySchema = z
  .array(
    z.strictObject({
      /** Names of containers, `*` for any characters. */
      containers: z.array(z.string().min(1).max(256)).min(1).max(256),
      allow: z.array(listenerPattern).max(256).default([]),
      /** What is judged here although it is not elsewhere. */
      judge: z.array(z.enum(UNJUDGED_KINDS)).default([]),
    }),
  )
  .max(256);
export type ListenerPolicy = z.infer<typeof listenerPolicySchema>;

/** Whether a container of this name may listen there, whatever its image exposes. */
export function allowsListener(policy: ListenerPolicy, container: string, listener: ListenAddress): boolean {
  const mine = policy.filter(({ containers }) => containers.some((pattern) => matchesGlob(pattern, container)));
  const kind = unjudgedKind(listener);
  if (kind !== null && !mine.some(({ judge }) => judge.includes(kind))) return true;
  return mine.some(({ allow }) => allow.some((pattern) => matchesListener(pattern, listener)));
}

function unjudgedKind(listener: ListenAddress): UnjudgedKind | null {
  const { protocol, address } = listener;
  if (protocol === "unix") return "unix";
  if (address === "::1" || (typeof address === "string" && address.startsWith("127."))) return "loopback";
  return isClientPort(listener) ? "udp-client" : null;
}

function matchesListener(pattern: string, listener: ListenAddress): boolean {
  if (listener.protocol === "unix") return matchesGlob(pattern, listenerName(listener));
  const [, protocol, address, ports] = /^(tcp|udp)\/(?:(.+):)?([^:]+)$/.exec(pattern) ?? [];
  if (protocol !== listener.protocol) return false;
  if (address !== undefined && !matchesGlob(address, listenerHost(listener))) return false;
  if (ports === "*") return true;
  const [first, last = first] = ports!.split("-").map(Number);
  return listener.port >= first! && listener.port <= last!;
}
