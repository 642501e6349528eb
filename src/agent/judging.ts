import { type ContainerState, findingKey, type HostState, keyOf, MAX_VIOLATIONS } from "../attest/host-state.ts";
import type { ReferenceValues } from "../attest/judge.ts";
import { type BaselineLookup, decide, noIdentity } from "../attest/verdict.ts";
import type { Finding } from "../log/finding.ts";
import type { ContainerStart } from "../log/start.ts";
import type { SweepResult } from "../measure/sweep.ts";
import type { Policy } from "../respond/policy.ts";
import { findingOf, isWrongInItself } from "./events.ts";

/** What is wrong with the containers that the log tells of, each finding once. */
export class Judging {
  readonly #state: HostState;
  readonly #policy: Policy;
  readonly #lookUp: (identity: string) => Promise<BaselineLookup>;
  /** How much of a container's facts was judged, and by what. */
  readonly #judged = new WeakMap<
    ContainerState,
    { facts: number; reference: ReferenceValues | null; start: ContainerStart | null }
  >();

  constructor(state: HostState, policy: Policy, lookUp: (identity: string) => Promise<BaselineLookup>) {
    this.#state = state;
    this.#policy = policy;
    this.#lookUp = lookUp;
  }

  /** Whether the container's state does not hold this finding yet, and has room for it. */
  isNew(container: ContainerState, finding: Finding): boolean {
    return !container.violations.has(findingKey(finding)) && container.violations.size < MAX_VIOLATIONS;
  }

  /** What is wrong whatever the image says. */
  newInItself(result: SweepResult): Finding[] {
    const findings: Finding[] = [];
    for (const fact of result.facts) {
      const { container } = fact.process;
      if (!isWrongInItself(fact) || container === null) continue;
      const known = this.#state.containers.get(keyOf(container));
      if (known === undefined) continue;
      const finding = findingOf(fact, known.container);
      if (this.isNew(known, finding)) findings.push(finding);
    }
    return findings;
  }

  /**
   * Judges every living container's facts with its baseline; a baseline that comes later judges what was seen before.
   * `onLookup` hears why an image has no baseline, null for one that has.
   */
  async newJudgements(onLookup: (image: string, missing: string | null) => void): Promise<Finding[]> {
    const findings: Finding[] = [];
    const living = [...this.#state.containers.values()].filter(({ stoppedAt }) => stoppedAt === null);
    const images = new Set(living.flatMap(({ container: { image } }) => image ?? []));
    // All at once: what one image's baseline is waited for must not keep another one's revocation.
    const found = await Promise.all([...images].map(async (image) => [image, await this.#lookUp(image)] as const));
    const lookups = new Map(found);
    for (const [image, lookup] of found) onLookup(image, lookup.found ? null : lookup.text);
    for (const container of living) {
      const lookup = lookups.get(container.container.image ?? "") ?? noIdentity(container.unresolved);
      // Nothing new to judge, and nothing new to judge it by.
      const reference = lookup.found ? lookup.reference : null;
      const judged = this.#judged.get(container);
      const { code, listeners, processStarts, start } = container;
      const facts = code.size + listeners.size + processStarts.size;
      if (judged?.facts === facts && judged.reference === reference && judged.start === start) continue;
      this.#judged.set(container, { facts, reference, start });
      const verdict = decide(this.#state, container, lookup, { standing: "good" }, this.#policy);
      findings.push(...verdict.findings.filter((finding) => this.isNew(container, finding)));
    }
    return findings;
  }
}
