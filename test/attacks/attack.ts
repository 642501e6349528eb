import type { Site } from "./site.ts";

/** One attack of the corpus. What must come of it stands in the README beside it. */
export interface Attack {
  /** Part of the quick half, which every run of the tests carries out. */
  readonly quick?: boolean;
  /** Folders of the host that its container is started with, by their path in it: then the start itself is the attack. */
  readonly binds?: Readonly<Record<string, string>>;
  /** Nobody looks before it has taken effect: the agent starts after it. */
  readonly beforeAgent?: boolean;
  /**
   * Carries the attack out, to the point where it has taken effect, and returns the process (number of the host) that
   * a finding must name; null where any process will do. Throws when the attack itself does not succeed: an attack
   * that does nothing would be missed by everybody.
   */
  act(site: Site): Promise<number | null>;
}
