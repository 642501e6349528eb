import { type ContainerRef, containerKey } from "../container/types.ts";
import type { ContainerName, Finding } from "../log/finding.ts";
import type { CodeFact } from "./events.ts";

/** So much of what the gate tells waits to be taken; the rest is left out. */
const MAX_TOLD = 4096;

interface Refusal {
  readonly container: ContainerRef;
  readonly finding: (name: ContainerName) => Finding;
}

/** What the gate has told and nobody has logged yet: taken all at once, however fast it comes. */
export class Told {
  readonly #take: () => Promise<void>;
  #facts: CodeFact[] = [];
  #refusals: Refusal[] = [];
  #awaited = false;

  /** `take` is called when something waits that nobody was called for yet. */
  constructor(take: () => Promise<void>) {
    this.#take = take;
  }

  /** False when there is no room for it. */
  refused(container: ContainerRef, finding: Refusal["finding"]): boolean {
    return this.#note(() => this.#refusals.push({ container, finding }));
  }

  /** False when there is no room for it. */
  unlisted(fact: CodeFact): boolean {
    return this.#note(() => this.#facts.push(fact));
  }

  #note(push: () => void): boolean {
    if (this.#facts.length + this.#refusals.length >= MAX_TOLD) return false;
    push();
    if (!this.#awaited) {
      this.#awaited = true;
      void this.#take();
    }
    return true;
  }

  /** Everything that waits, and the containers that it is about. */
  take(): { facts: CodeFact[]; refusals: Refusal[]; containers: Map<string, ContainerRef> } {
    const [facts, refusals] = [this.#facts, this.#refusals];
    [this.#facts, this.#refusals, this.#awaited] = [[], [], false];
    const refs = [...facts.flatMap(({ process }) => process.container ?? []), ...refusals.map((one) => one.container)];
    return { facts, refusals, containers: new Map(refs.map((ref) => [containerKey(ref), ref])) };
  }
}
