import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { type CheckpointProof, checkpointRoot, proveLine } from "./checkpoints.ts";

const MAX_BYTES = 256 * 1024 * 1024;
const headerSchema = z.object({
  format: z.literal("pims.checkpoint/v1"),
  number: z.string().regex(/^(0|[1-9]\d{0,18})$/),
  time: z.string().max(40),
  hosts: z.int().nonnegative(),
  previous: z.string().max(66).nullable(),
});
const hostSchema = z.object({ host: z.string() });

/** What a verifier kept of a checkpoint: the lines whose root it put on the ledger. */
export interface CheckpointFile {
  readonly number: bigint;
  readonly time: string;
  /** Names, in the order of the lines after the first. */
  readonly hosts: readonly string[];
  readonly lines: readonly string[];
  readonly root: `0x${string}`;
}

/** Throws `checkpoint-malformed`. */
export async function readCheckpointFile(path: string): Promise<CheckpointFile> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new Error("it is too long");
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readFile(path));
    if (!text.endsWith("\n")) throw new Error("its last line has no end");
    const lines = text.slice(0, -1).split("\n");
    const header = headerSchema.parse(JSON.parse(lines[0]!));
    if (header.hosts !== lines.length - 1) throw new Error("it has another number of hosts than it says");
    const hosts = lines.slice(1).map((line) => hostSchema.parse(JSON.parse(line)).host);
    return { number: BigInt(header.number), time: header.time, hosts, lines, root: checkpointRoot(lines) };
  } catch (cause) {
    throw new PimsError("checkpoint-malformed", `${path} is not a checkpoint's lines`, {
      hint: "the verifier keeps them in its state folder, below checkpoints",
      cause,
    });
  }
}

/** That a host's line is in the checkpoint. Throws `host-unknown`. */
export function proveHost({ hosts, lines }: CheckpointFile, host: string): CheckpointProof {
  const index = hosts.indexOf(host);
  if (index < 0) throw new PimsError("host-unknown", "the checkpoint has no such host");
  return proveLine(lines, index + 1);
}
