import { brief } from "../core/bytes.ts";
import type { ListenerEvent } from "../log/event.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import { listenerName } from "../process/listen-address.ts";
import type { ReferenceValues } from "./judge.ts";
import { allowsListener, type ListenerPolicy } from "./listener-policy.ts";

type ListenerFact = Omit<ListenerEvent, "type" | "time" | "container"> & { readonly container: ContainerName };

/** Judges one listening socket by what the image exposes and the policy allows. Without a baseline nothing is judged. */
export function judgeListener(
  fact: ListenerFact,
  reference: ReferenceValues | null,
  policy: ListenerPolicy,
): Finding | null {
  const { pid, startTime, comm, exe, container, protocol, port, held } = fact;
  if (reference === null || (protocol !== "unix" && reference.exposes(`${protocol}/${port}`))) return null;
  if (allowsListener(policy, container.name, fact)) return null;
  const name = listenerName(fact);
  const doing = protocol === "udp" ? "receives on" : "listens on";
  const text = held
    ? `process ${pid} (${brief(exe)}) ${doing} ${brief(name)}, which the image does not expose`
    : `something in the container ${doing} ${brief(name)}, which the image does not expose; no process was found that holds the socket`;
  return {
    reason: "unexpected-listener",
    ...{ pid, startTime, comm, exe, container },
    object: { path: name, dev: "0:0", ino: "0", digest: null },
    pages: [],
    text,
  };
}
