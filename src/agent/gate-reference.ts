import type { BaselineState } from "../ledger/baseline-cache.ts";
import type { ReferenceName } from "../measure/gate/protocol.ts";
import type { RuntimeAnswer } from "./container-names.ts";

/** The runtime has told all that it knows, and the image that it names could be told. What is not so is asked again. */
export function isComplete({ info, problem }: RuntimeAnswer): boolean {
  return problem === null && info.unresolved === undefined;
}

/**
 * What a container is held to. `state` is that of its image, null where none is known; `name` that of its baseline's
 * files; `before` what it was held to until now. `none` is only what somebody has said: a runtime that there is no
 * image, the ledger that it promises nothing of it.
 */
export function gateReference(
  state: BaselineState | null,
  { name, complete, before }: { name: string; complete: boolean; before: ReferenceName | undefined },
): ReferenceName {
  switch (state?.status) {
    case "approved":
      return { baseline: name };
    case "none":
    case "proposed":
      return "none";
    case "revoked":
      return "unverified";
    case "altered":
    case "unverified":
      // The ledger has never promised anything of this image: that it is silent now changes nothing.
      return before === "none" && !state.isApproved ? "none" : "unverified";
  }
  if (complete) return "none";
  return typeof before === "object" ? before : "unverified";
}
