import { judgePlatform, type PlatformPolicy, type PlatformVerdict } from "../attest/judge-platform.ts";
import type { PlatformWanted } from "../attest/platform-evidence.ts";
import type { PlatformState } from "../attest/platform-state.ts";
import type { Releases } from "../attest/release-manifest.ts";
import type { Store } from "./store.ts";

/** What the verifier knows of what is below each host's agent, and judges it by. */
export class Platforms {
  readonly #policy: PlatformPolicy;
  readonly #releases: Releases;
  readonly #store: Pick<Store, "platform">;
  readonly #states = new Map<string, PlatformState | null>();

  constructor(policy: PlatformPolicy, releases: Releases, store: Pick<Store, "platform">) {
    this.#policy = policy;
    this.#releases = releases;
    this.#store = store;
  }

  /** What to ask a host for: entries judged by other releases are asked for again. */
  wanted(host: string): PlatformWanted {
    const state = this.state(host);
    const ima = state?.ima;
    const imaFrom = ima != null && ima.releases === this.#releases.id ? ima.count : 0;
    return { firmwareLog: state?.firmware == null, imaFrom };
  }

  expected(host: string): { before: PlatformState | null; releases: Releases } {
    return { before: this.state(host), releases: this.#releases };
  }

  /** Null before anything was proved. */
  state(host: string): PlatformState | null {
    let state = this.#states.get(host);
    if (state === undefined) {
      state = this.#store.platform(host);
      this.#states.set(host, state);
    }
    return state;
  }

  /** What accepted evidence has proved, once it is stored. */
  keep(host: string, state: PlatformState): void {
    this.#states.set(host, state);
  }

  forget(host: string): void {
    this.#states.delete(host);
  }

  judge(host: string): PlatformVerdict {
    return judgePlatform(this.state(host), this.#policy, { hasReleases: !this.#releases.isEmpty });
  }
}
