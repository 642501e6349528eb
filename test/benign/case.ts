import type { Recipe } from "./images.ts";
import type { Site } from "./site.ts";

/** Software of the corpus, in a container of its own. What it may be found for stands in the README beside it. */
export interface BenignCase {
  /** Part of the quick half, which every run of the tests carries out. */
  readonly quick?: boolean;
  readonly image: Recipe;
  /** Options of `docker create`: then the container is Docker's. Without them it is runc's. */
  readonly docker?: readonly string[];
  /** Why this machine's kernel cannot run the case; null where it can. */
  impossible?(): Promise<string | null>;
  /** Comes back when the software can be put under load. */
  ready(site: Site): Promise<void>;
  /**
   * One round of load, of about a second; rounds follow one another until the time is up. Returns how much was done, and
   * throws at the first answer that is wrong: software that does not work proves nothing.
   */
  work(site: Site, round: number): Promise<number>;
}
