import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../../src/core/errors.ts";
import { waitFor } from "./clique-network.ts";

/** What is said of an image: that it has a baseline, that it has none, or that nobody can tell. */
export interface Answer {
  readonly word: "approved" | "unapproved" | "revoked" | "unverified";
  readonly text: string;
}
/** By the image's name. */
export type Answers = Map<string, Answer>;

/** Somebody who says what the ledger has. */
export interface Source {
  readonly name: string;
  /** Whoever believes one endpoint and its newest block: what that leads to is shown and not held against anybody. */
  readonly isUnsafe?: boolean;
  look(): Promise<Answers>;
}

const PAUSE_MS = 400;
const MOST_TEXT = 240;

/** Asks all sources all the time, writes down when they say something else than before, and holds them to what is so. */
export class Watch {
  readonly problems: string[] = [];
  /** How many answers were looked at. */
  count = 0;
  readonly #start = performance.now();
  readonly #sources: readonly Source[];
  readonly #last = new Map<string, Answer>();
  readonly #ever = new Set<string>();
  /** Images that enough publishers have signed for, or are about to. */
  readonly #signed = new Set<string>();
  /** Images of which it may be said again that they are not approved: the chain itself was made to forget them. */
  readonly #forgotten = new Set<string>();
  #isOver = false;
  readonly #loops: Promise<void>[] = [];

  constructor(sources: readonly Source[]) {
    this.#sources = sources;
  }

  start(): void {
    for (const source of this.#sources) this.#loops.push(this.#ask(source));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#loops);
  }

  /** From now on it is right to say that the image is approved. */
  signed(image: string): void {
    this.#signed.add(image);
  }

  /** From now on it is right to say that it is not, or not any more. */
  forgotten(image: string): void {
    this.#forgotten.add(image);
    this.#signed.delete(image);
  }

  say(who: string, text: string): void {
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(1).padStart(6);
    console.log(`${seconds} s  ${who.padEnd(9)}  ${text}`);
  }

  /** What a source said last of an image. */
  last(source: Source, image: string): Answer | undefined {
    return this.#last.get(`${source.name} ${image}`);
  }

  everSaid(source: Source, image: string, word: Answer["word"]): boolean {
    return this.#ever.has(`${source.name} ${image} ${word}`);
  }

  /** Until a source says this word of an image, with this text. */
  async until(source: Source, image: string, word: Answer["word"], text = /./): Promise<void> {
    const isSo = async (): Promise<boolean> => {
      const last = this.last(source, image);
      return last?.word === word && text.test(last.text);
    };
    await waitFor(`${source.name} says that ${image} is ${word} (${text})`, isSo);
  }

  async #ask(source: Source): Promise<void> {
    while (!this.#isOver) {
      try {
        const news = new Map<string, string[]>();
        for (const [image, answer] of await source.look()) {
          if (!this.#take(source, image, answer)) continue;
          const text = answer.text.replace(/ (of|for) the image sha256:[0-9a-f]{64}/, "").slice(0, MOST_TEXT);
          news.set(text, [...(news.get(text) ?? []), image]);
        }
        for (const [text, images] of news) this.say(source.name, `${images.join(", ")}: ${text}`);
      } catch (error) {
        this.#problem(`${source.name} cannot be asked: ${describeError(error)}`);
      }
      await sleep(PAUSE_MS);
    }
  }

  /** Whether it is news. */
  #take(source: Source, image: string, answer: Answer): boolean {
    this.count++;
    const key = `${source.name} ${image}`;
    const before = this.#last.get(key);
    if (!source.isUnsafe) this.#judge(source, image, answer);
    this.#last.set(key, answer);
    this.#ever.add(`${key} ${answer.word}`);
    return before?.word !== answer.word;
  }

  #judge({ name }: Source, image: string, { word }: Answer): void {
    if (word === "approved" && !this.#signed.has(image) && !this.#forgotten.has(image))
      this.#problem(`${name} says that ${image} is approved, for which too few have signed`);
    const isGone = word === "unapproved" || word === "revoked";
    if (isGone && this.#ever.has(`${name} ${image} approved`) && !this.#forgotten.has(image))
      this.#problem(`${name} has lost the approval of ${image}`);
  }

  #problem(text: string): void {
    if (this.problems.includes(text)) return;
    this.problems.push(text);
    this.say("PROBLEM", text);
  }
}
