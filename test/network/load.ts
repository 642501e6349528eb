import { describeError } from "../../src/core/errors.ts";
import { approveBaseline } from "../../src/ledger/approve.ts";
import { BaselineCache } from "../../src/ledger/baseline-cache.ts";
import { proposeBaseline } from "../../src/ledger/propose.ts";
import { identityOf, linesOf } from "./attester.ts";
import type { Site } from "./site.ts";

const ENTRIES = 400;

/** Two publishers who go on publishing and approving baselines, whatever happens to the network. */
export class Load {
  readonly approved: string[] = [];
  readonly #site: Site;
  #isOver = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(site: Site) {
    this.#site = site;
  }

  start(): void {
    this.#isOver = false;
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { publishers, network, watch } = this.#site;
    const [key, other] = [publishers[2]!, publishers[3]!];
    for (let number = this.approved.length; !this.#isOver; number++) {
      const name = `load ${number}`;
      // By nodes that stay with most others in every cut but one.
      const [node, next] = [network.nodes[number % 2]!, network.nodes[(number + 1) % 2]!];
      try {
        const { id } = await proposeBaseline({ ...this.#site.place(node), key, lines: linesOf(name, ENTRIES) });
        await approveBaseline({ ...this.#site.place(next), key: other, id });
        this.approved.push(name);
      } catch (error) {
        watch.say("load", `${name}: ${describeError(error)}`);
      }
    }
  }

  /** Those of them that a reader of all endpoints does not find approved with all their entries. */
  async missing(): Promise<string[]> {
    const [url, ...witnesses] = this.#site.network.nodes.map(({ rpc }) => rpc.url) as [string, ...string[]];
    const cache = new BaselineCache({ url, witnesses, registry: this.#site.registry });
    const missing: string[] = [];
    for (const name of this.approved) {
      const state = await cache.lookUp(identityOf(name));
      if (state.status !== "approved" || state.baseline.lines.length !== ENTRIES + 2) missing.push(name);
    }
    return missing;
  }
}
