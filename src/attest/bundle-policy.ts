import { z } from "zod";
import { sha256Hex } from "../core/digest.ts";
import { PimsError } from "../core/errors.ts";
import { describeIssue } from "./api.ts";
import { platformPolicySchema } from "./judge-platform.ts";
import { listenerPolicySchema } from "./listener-policy.ts";
import { releaseManifestSchema } from "./release-manifest.ts";
import { startPolicySchema } from "./start-policy.ts";

/** What a verifier judges by besides baselines, whole: files that its configuration names stand here themselves. */
const bundlePolicySchema = z.strictObject({
  starts: startPolicySchema,
  listeners: listenerPolicySchema,
  /** Null: ten of the agent's intervals, at least 30 s. */
  maxPauseMs: z.int().min(100).nullable(),
  /** Null where what is below the agents is not judged. */
  platform: platformPolicySchema
    .omit({ releases: true })
    .extend({ manifests: z.array(releaseManifestSchema).max(64) })
    .nullable(),
});
export type BundlePolicy = z.infer<typeof bundlePolicySchema>;

/** Reads the policy in a bundle. Throws `bundle-malformed`. */
export function parseBundlePolicy(text: string): BundlePolicy {
  const malformed = (why: string) => new PimsError("bundle-malformed", `the policy in the bundle is none: ${why}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw malformed("it is not JSON");
  }
  const checked = bundlePolicySchema.safeParse(parsed);
  if (!checked.success) throw malformed(describeIssue(checked.error));
  if (JSON.stringify(parsed) !== text) throw malformed("it is not in the form that policies are written in");
  return checked.data;
}

/** One name for one policy, by its exact text. */
export function policyId(text: string): string {
  return `urn:pims:policy:sha256:${sha256Hex(text)}`;
}

/** Whether a policy allows nothing that images do not promise, and asks for nothing below the agent. */
export function isStrictest({ starts, listeners, maxPauseMs, platform }: BundlePolicy): boolean {
  const noManifests = platform === null || platform.manifests.length === 0;
  return (
    starts.length === 0 && listeners.every(({ allow }) => allow.length === 0) && maxPauseMs === null && noManifests
  );
}
