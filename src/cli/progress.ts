const FIRST_MS = 1000;

/** Shows on a terminal what is being waited for, once a wait passes a second; elsewhere nothing. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  #text = "";
  #sinceMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #shown = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** From now on this is waited for. */
  readonly step = (text: string): void => {
    if (!this.#stream.isTTY) return;
    this.end();
    this.#text = text;
    this.#sinceMs = performance.now();
    this.#timer = setInterval(() => this.#show(), FIRST_MS);
    this.#timer.unref();
  };

  /** Takes the line away. */
  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (this.#shown) this.#stream.write("\r\u001b[K");
    this.#shown = false;
  }

  #show(): void {
    this.#shown = true;
    const seconds = Math.floor((performance.now() - this.#sinceMs) / 1000);
    this.#stream.write(`\r\u001b[K${`${this.#text} … ${seconds} s`.slice(0, (this.#stream.columns || 80) - 1)}`);
  }
}

/** Waits for one thing. */
export async function awaited<T>(text: string, work: Promise<T>): Promise<T> {
  const progress = new Progress();
  progress.step(text);
  try {
    return await work;
  } finally {
    progress.end();
  }
}
