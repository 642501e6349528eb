// Facts for tests: a container in which every program is an unlisted one, and nothing else on the host.
import type { ReferenceValues } from "../attest/judge.ts";
import { type ContainerRef, containerKey } from "../container/types.ts";
import { sha256Hex } from "../core/digest.ts";
import { Sweeper, type SweepResult } from "../measure/sweep.ts";
import type { CodeFact } from "./events.ts";

/** A container that no runtime has. */
export const container: ContainerRef = { runtime: "docker", id: sha256Hex("busy") };
export const image = `sha256:${sha256Hex("image")}`;

/** Nothing is listed. */
export const reference: ReferenceValues = {
  hasDigest: () => false,
  hasPath: () => false,
  exposes: () => false,
  mayCompile: () => false,
  mayBeDisplaced: () => false,
  mayPreload: () => false,
};

/** A program that no other is equal to. */
export function program(number: number): CodeFact {
  const process = { pid: 100_000 + number, startTime: 1n, comm: "p", exe: `/bin/p${number}`, container };
  const file = { path: `/bin/p${number}`, device: "0:42", inode: BigInt(number), size: 4096n };
  return {
    kind: "code",
    process,
    object: {
      ...{ backing: "file", role: "executable", place: "in-segment", offset: 0n, deleted: false },
      ...{ ...file, sha256: sha256Hex(`program ${number}`) },
    },
  };
}

/** Sees this container, and nothing of what else the machine runs. */
export class LoneSweeper extends Sweeper {
  override async sweep(): Promise<SweepResult> {
    const result = await super.sweep();
    return { ...result, facts: [], containers: new Map([[containerKey(container), container]]) };
  }
}
