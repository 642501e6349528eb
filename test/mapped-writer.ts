import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

const SCRIPT = `
import mmap, sys
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), 0)
memory[-1] = memory[-1]
print("mapped", flush=True)
for line in sys.stdin:
    if line.strip() == "write":
        memory[-1] ^= 1
    else:
        memory.close()
        file.close()
    print("done", flush=True)
`;

/**
 * A file in a shared writable mapping whose page has been written to with what was there: its times have changed, and
 * nothing that is written from then on changes them again.
 */
export class MappedWriter {
  readonly #child: ReturnType<typeof start>;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ReturnType<typeof start>) {
    this.#child = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  static async open(t: TestContext, path: string): Promise<MappedWriter> {
    const child = start(path);
    const exited = once(child, "exit");
    t.after(async () => {
      child.kill("SIGKILL");
      await exited;
    });
    const writer = new MappedWriter(child);
    await writer.#said("mapped");
    return writer;
  }

  /** Changes the last byte of the file. */
  async write(): Promise<void> {
    this.#child.stdin.write("write\n");
    await this.#said("done");
  }

  /** Ends mapping and descriptor. */
  async close(): Promise<void> {
    this.#child.stdin.write("close\n");
    await this.#said("done");
  }

  async #said(word: string): Promise<void> {
    const { value } = await this.#lines.next();
    if (value !== word) throw new Error(`the file was not mapped: ${value}`);
  }
}

function start(path: string) {
  return spawn("python3", ["-c", SCRIPT, path], { stdio: ["pipe", "pipe", "inherit"] });
}
