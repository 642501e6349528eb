import { z } from "zod";
import { matchesGlob } from "../core/glob.ts";

/** Capabilities with which a process gets at the host, or at other containers' processes. */
export const GRAVE_CAPABILITIES = [
  "CAP_SYS_ADMIN",
  "CAP_SYS_MODULE",
  "CAP_SYS_PTRACE",
  "CAP_SYS_RAWIO",
  "CAP_DAC_READ_SEARCH",
  "CAP_BPF",
] as const;

export const JUDGED_NAMESPACES = ["mnt", "pid", "net", "ipc"] as const;

/** What in a container's start is a finding, unless it is allowed by this name. */
export const START_CAUSES = [
  "privileged",
  ...GRAVE_CAPABILITIES,
  ...JUDGED_NAMESPACES.map((name) => `host-${name}` as const),
  "host-root",
  "runtime-socket",
  "entry-point",
  "loader-variable",
] as const;
export type StartCause = (typeof START_CAUSES)[number];

/** Which containers may be started how. The same must be given to agent and verifier: the stricter of the two counts. */
export const startPolicySchema = z
  .array(
    z.strictObject({
      /** Names of containers, `*` for any characters. */
      containers: z.array(z.string().min(1).max(256)).min(1).max(256),
      allow: z.array(z.enum(START_CAUSES)).min(1),
    }),
  )
  .max(256);
export type StartPolicy = z.infer<typeof startPolicySchema>;

/** What a container of this name may. */
export function allowedStarts(policy: StartPolicy, container: string): ReadonlySet<StartCause> {
  const mine = policy.filter(({ containers }) => containers.some((pattern) => matchesGlob(pattern, container)));
  return new Set(mine.flatMap(({ allow }) => allow));
}
