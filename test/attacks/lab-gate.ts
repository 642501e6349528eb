import type { Baseline } from "../../src/baseline/format.ts";
import type { ContainerRef } from "../../src/container/types.ts";
import { printable } from "../../src/core/bytes.ts";
import { GateSupervisor, type NamedFiles } from "../../src/measure/gate/supervisor.ts";

export function namedFiles({ header, entries }: Baseline): NamedFiles {
  return {
    name: header.identity,
    digests: new Set(entries.map(({ sha256 }) => sha256)),
    sizes: new Set(entries.map(({ size }) => size)),
  };
}

/** The gate before exec, in `enforce` in the lab's containers and off in those of others. */
export class LabGate {
  readonly #expected = new Map<string, NamedFiles>();
  readonly #refused = new Map<string, string[]>();
  readonly #asked = new Set<string>();
  readonly #supervisor: GateSupervisor;
  /** What the gate itself had to say. */
  readonly gaps: string[] = [];

  private constructor() {
    this.#supervisor = new GateSupervisor("allow", {
      onAsk: (container) => this.#settle(container),
      onRefused: ({ container, path }) => void this.refused(container).push(printable(path)),
      onUnjudged: (container) => void this.gaps.push(`nobody knows what is of ${container.id}`),
      onStates: (states) => {
        for (const { container, decisions } of states) if (decisions > 0) this.#asked.add(container.id);
      },
      onGap: (text) => void this.gaps.push(text),
    });
  }

  static async open(): Promise<LabGate> {
    const gate = new LabGate();
    await gate.#supervisor.watching;
    return gate;
  }

  /** A container of this id is about to start, of an image with these files. */
  expect(id: string, files: NamedFiles): void {
    this.#expected.set(id, files);
  }

  /** Paths of the programs that were refused in a container. */
  refused({ id }: ContainerRef): string[] {
    const known = this.#refused.get(id) ?? [];
    this.#refused.set(id, known);
    return known;
  }

  /** Whether it was asked about any program of a container. */
  wasAsked({ id }: ContainerRef): boolean {
    return this.#asked.has(id);
  }

  close(): Promise<void> {
    return this.#supervisor.close();
  }

  #settle(container: ContainerRef): void {
    const files = this.#expected.get(container.id);
    if (files === undefined) this.#supervisor.settle(container, { mode: "off", reference: "none" }, null);
    else this.#supervisor.settle(container, { mode: "enforce", reference: { baseline: files.name } }, files);
  }
}
