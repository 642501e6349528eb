import { z } from "zod";
import { digestSchema, type Reason, reasonSchema } from "../log/finding.ts";
import type { PlatformState } from "./platform-state.ts";
import type { ReleasePart } from "./release-manifest.ts";

const allowed = z
  .array(z.strictObject({ pcr: z.int().min(0).max(9), allow: z.array(digestSchema).min(1).max(4096) }))
  .max(64)
  .default([]);

/** What a verifier demands of what is below the agents. */
export const platformPolicySchema = z.strictObject({
  /** Manifests of the releases that hosts may run. */
  releases: z.array(z.string()).max(64).default([]),
  boot: z
    .strictObject({
      /** The values that a PCR may have. */
      pcrs: allowed,
      /** The digests that the events of a PCR may have, each of them. */
      events: allowed,
      secureBoot: z.boolean().default(false),
    })
    .prefault({}),
  /** Links without which nothing of the host is trusted. */
  require: z.array(z.enum(["boot", "files", "agent", "runtime"])).default([]),
});
export type PlatformPolicy = z.infer<typeof platformPolicySchema>;

/** One link of the chain from the firmware to the agent. */
export const linkSchema = z.object({
  link: z.enum(["boot", "files", "agent", "runtime"]),
  state: z.enum(["proved", "missing", "broken"]),
  text: z.string(),
});
export type Link = z.infer<typeof linkSchema>;

export const platformVerdictSchema = z.object({
  links: z.array(linkSchema),
  /** What leaves none of the host's containers trusted. */
  reasons: z.array(z.object({ reason: reasonSchema, text: z.string() })),
});
export type PlatformVerdict = z.infer<typeof platformVerdictSchema>;

/** Judges what is below a host's agent. Pure. Null is a host that has proved nothing yet. */
export function judgePlatform(
  state: PlatformState | null,
  policy: PlatformPolicy,
  options: { readonly hasReleases: boolean },
): PlatformVerdict {
  const reasons: PlatformVerdict["reasons"] = [];
  const links = [
    bootLink(state, policy, reasons),
    filesLink(state),
    ...(["agent", "runtime"] as const).map((part) => releaseLink(part, state, options.hasReleases)),
  ];
  for (const { link, state: found, text } of links) {
    const wanted = found === "missing" && policy.require.includes(link);
    if (found === "broken" || wanted) reasons.push({ reason: REASON[link], text });
  }
  return { links, reasons };
}

const REASON = {
  boot: "boot-untrusted",
  files: "boot-untrusted",
  agent: "agent-modified",
  runtime: "runtime-modified",
} as const satisfies Record<Link["link"], Reason>;

function bootLink(state: PlatformState | null, policy: PlatformPolicy, reasons: PlatformVerdict["reasons"]): Link {
  const link = "boot" as const;
  if (state === null) return { link, state: "missing", text: "no evidence of how the host booted has come yet" };
  for (const text of bootProblems(state, policy)) reasons.push({ reason: "boot-untrusted", text });
  const { firmware } = state;
  if (state.pcrs.every((value) => /^0+$/.test(value)))
    return { link, state: "missing", text: "nobody measured how the host booted: PCR 0 to 9 are zero" };
  if (firmware === null) return { link, state: "missing", text: "the firmware's event log has not come yet" };
  if (firmware.disagree.length > 0) {
    const why = firmware.problem ?? `it does not lead to PCR ${firmware.disagree.join(", ")}`;
    return { link, state: "broken", text: `the firmware's event log is not what was measured: ${why}` };
  }
  if (firmware.problem !== null) return { link, state: "missing", text: firmware.problem };
  const steps = firmware.steps.length + firmware.more;
  return { link, state: "proved", text: `${steps} measured steps, Secure Boot ${firmware.secureBoot}` };
}

function* bootProblems({ pcrs, firmware }: PlatformState, { boot }: PlatformPolicy): Generator<string> {
  for (const { pcr, allow } of boot.pcrs)
    if (!allow.includes(pcrs[pcr]!)) yield `PCR ${pcr} is ${pcrs[pcr]}, which is not expected`;
  // A log that does not lead to the registers says nothing, and neither does a part of one.
  const log = firmware !== null && firmware.problem === null && firmware.disagree.length === 0 ? firmware : null;
  for (const { pcr, allow } of boot.events) {
    const odd = log?.steps.find((step) => step.pcr === pcr && !allow.includes(step.digest));
    if (log === null || log.more > 0) yield `nothing proves which events PCR ${pcr} is made of`;
    else if (odd !== undefined) yield `PCR ${pcr} has an event that is not expected: ${odd.text}, ${odd.digest}`;
  }
  if (boot.secureBoot && log?.secureBoot !== "on") yield `Secure Boot is ${log?.secureBoot ?? "unknown"}`;
}

function filesLink(state: PlatformState | null): Link {
  const link = "files" as const;
  if (state === null) return { link, state: "missing", text: "no evidence of measured files has come yet" };
  if (state.ima === null) return { link, state: "missing", text: "the kernel measures no files (IMA): PCR 10 is zero" };
  const { count, violations } = state.ima;
  const unsure = violations === 0 ? "" : `, ${violations} of them written to while they were in use`;
  return { link, state: "proved", text: `IMA has measured ${count} files${unsure}` };
}

const WHOSE = { agent: "the agent's", runtime: "the container runtime's" } as const;
const SHOWN = 3;

function releaseLink(link: ReleasePart, state: PlatformState | null, hasReleases: boolean): Link {
  if (!hasReleases) return { link, state: "missing", text: "no release manifest is configured" };
  if (!state?.ima) return { link, state: "missing", text: `no measured file tells of ${WHOSE[link]}` };
  const odd = state.ima.deviations.filter(({ part }) => part === link);
  if (odd.length > 0) {
    const named = odd.slice(0, SHOWN).map(({ path, digest, listed, cgroup }) => {
      const where = cgroup === null ? path : `${path} (control group ${cgroup})`;
      if (digest === null) return `${where} was written to while it was in use`;
      return listed ? `${where} with ${digest}` : `${where}, which no release has`;
    });
    const more = odd.length > SHOWN ? ` and ${odd.length - SHOWN} more` : "";
    return { link, state: "broken", text: `of ${WHOSE[link]} files the kernel has used ${named.join("; ")}${more}` };
  }
  const files = link === "agent" ? state.ima.agentFiles : state.ima.runtimeFiles;
  if (files === 0) return { link, state: "missing", text: `none of ${WHOSE[link]} files was measured` };
  return { link, state: "proved", text: `${files} of ${WHOSE[link]} files measured, all as released` };
}
