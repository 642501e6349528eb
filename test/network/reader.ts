import { systemClock } from "../../src/core/clock.ts";
import { BaselineCache } from "../../src/ledger/baseline-cache.ts";
import type { LedgerConfig } from "../../src/ledger/config.ts";
import { identityOf } from "./attester.ts";
import type { Answers, Source } from "./watch.ts";

const WORDS = { approved: "approved", proposed: "unapproved", none: "unapproved", revoked: "revoked" } as const;

/** Reads the ledger in this process, by ways that no cut concerns. */
export class Reader implements Source {
  readonly name: string;
  readonly isUnsafe: boolean;
  readonly #cache: BaselineCache;
  readonly #images: readonly string[];

  constructor(name: string, ledger: LedgerConfig, images: readonly string[], isUnsafe = false) {
    this.name = name;
    this.isUnsafe = isUnsafe;
    this.#images = images;
    this.#cache = new BaselineCache(ledger, undefined, systemClock);
  }

  async look(): Promise<Answers> {
    const answers: Answers = new Map();
    for (const image of this.#images) {
      const state = await this.#cache.lookUp(identityOf(image));
      if (state.status === "unverified" || state.status === "altered")
        answers.set(image, { word: "unverified", text: state.text });
      else answers.set(image, { word: WORDS[state.status], text: state.status });
    }
    return answers;
  }
}
