import { brief } from "../core/bytes.ts";
import { wordsDigest } from "../core/digest.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { ContainerStart } from "../log/start.ts";
import type { ReferenceValues } from "./judge.ts";
import {
  allowedStarts,
  GRAVE_CAPABILITIES,
  JUDGED_NAMESPACES,
  type StartCause,
  type StartPolicy,
} from "./start-policy.ts";

/** What is wrong, and which names in the policy would allow it. */
interface Complaint {
  readonly cause: string;
  readonly text: string;
  readonly allow: readonly StartCause[];
}

const NAMESPACE_WORDS = { mnt: "mount", pid: "process", net: "network", ipc: "IPC" } as const;

/**
 * Judges how a container was started: one finding for each cause that the policy does not allow it. `reference` is null
 * where there is no baseline; then its entry point is not judged.
 */
export function judgeStart(
  container: ContainerName,
  start: ContainerStart,
  reference: ReferenceValues | null,
  policy: StartPolicy,
): Finding[] {
  const allowed = allowedStarts(policy, container.name);
  return complaints(start, reference, allowed).map(({ cause, text, allow }) => ({
    reason: "container-config",
    ...start.process,
    container,
    object: { path: `[${cause}]`, dev: "0:0", ino: "0", digest: null },
    pages: [],
    text: `${text}; if that is meant, allow it ${allow.map((name) => `"${name}"`).join(" and ")} in policy.starts`,
  }));
}

function complaints(
  { kernel, runtime }: ContainerStart,
  reference: ReferenceValues | null,
  allowed: ReadonlySet<StartCause>,
): Complaint[] {
  const found: Complaint[] = [];
  const complain = (cause: string, text: string, ...allow: StartCause[]) => found.push({ cause, text, allow });
  if (kernel !== null) {
    const shared = JUDGED_NAMESPACES.filter((name) => kernel.hostNamespaces.includes(name));
    const forbidden = shared.filter((name) => !allowed.has(`host-${name}`));
    if (forbidden.length > 0) {
      const words = forbidden.map((name) => NAMESPACE_WORDS[name]).join(" and ");
      complain(
        "host-namespaces",
        `the container lives in the host's ${words} namespace`,
        ...forbidden.map((name) => `host-${name}` as const),
      );
    }
  }
  complainOfPrivileges(kernel, runtime?.privileged === true, allowed, complain);
  // In the host's mount namespace it has all of these.
  if (kernel !== null && !kernel.hostNamespaces.includes("mnt")) complainOfMounts(kernel, allowed, complain);
  if (runtime === null) return found;
  const variables = runtime.loader
    // An image may well set the search path, and where nobody says whether it does, that is no complaint.
    .filter(({ name, image }) => image === false || (image === null && name !== "LD_LIBRARY_PATH"))
    .map(({ name, value }) => `${name}=${brief(value)}`);
  if (variables.length > 0 && !allowed.has("loader-variable"))
    complain(
      "loader-variables",
      `the container was started with ${variables.slice(0, 3).join(" and ")}, which its image does not set`,
      "loader-variable",
    );
  const promised = reference?.entrypoint ?? [];
  const { words, digest } = runtime.entrypoint;
  if (
    promised.length > 0 &&
    words > 0 &&
    digest !== wordsDigest(promised.slice(0, words)) &&
    !allowed.has("entry-point")
  )
    complain(
      "entry-point",
      `the container was started as ${brief(runtime.program ?? "")}, its image is started as ${brief(promised.slice(0, words).join(" "))}`,
      "entry-point",
    );
  return found;
}

type Complain = (cause: string, text: string, ...allow: StartCause[]) => void;
type Kernel = NonNullable<ContainerStart["kernel"]>;

function complainOfPrivileges(
  kernel: Kernel | null,
  said: boolean,
  allowed: ReadonlySet<StartCause>,
  complain: Complain,
): void {
  // In a user namespace of its own a container's capabilities are no power over the host.
  const powers = kernel?.hostNamespaces.includes("user") ? kernel : null;
  const shown = powers?.allCapabilities === true && powers.seccomp === "none";
  if (said || shown) {
    const text = said
      ? "the container was started privileged"
      : "the container has every capability and no seccomp filter, like a privileged one";
    if (!allowed.has("privileged")) complain("privileged", text, "privileged");
    return;
  }
  const grave = GRAVE_CAPABILITIES.filter((name) => powers?.capabilities.includes(name) && !allowed.has(name));
  if (grave.length > 0) complain("capabilities", `the container may use ${grave.join(", ")}`, ...grave);
}

function complainOfMounts(kernel: Kernel, allowed: ReadonlySet<StartCause>, complain: Complain): void {
  const root = kernel.mounts.find(({ source, rw }) => source === "/" && rw);
  if (root !== undefined) {
    const text = `the container has the host's root folder, writable, at ${brief(root.destination)}`;
    if (!allowed.has("host-root")) complain("host-root", text, "host-root");
    // Whoever may write to all of the host needs no runtime's socket.
    return;
  }
  const [socket] = kernel.runtimeSockets;
  if (socket === undefined || allowed.has("runtime-socket")) return;
  const text = `the container has the socket of a container runtime, ${brief(socket.source)} of the host, at ${brief(socket.destination)}`;
  complain("runtime-socket", text, "runtime-socket");
}
