import { open } from "node:fs/promises";
import { z } from "zod";
import type { JsonText } from "../core/bytes.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { parseBaseline } from "./format.ts";
import { editJitAllowance } from "./jit-allowance.ts";
import { type Baseline, formatHeader } from "./lines.ts";
import { MAX_ALLOWED } from "./parse-header.ts";
import { addPorts } from "./ports.ts";
import { pathText, portText } from "./schema.ts";

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_PATHS = 10_000;

/** What people add to what an image says of itself. It becomes a part of the baseline, and is signed with it. */
export interface Edits {
  /** `tcp/80`: ports that the image listens on and does not expose. */
  readonly ports: readonly string[];
  /** Paths of files of the image that count as scripts; `sha256:…` for code that is no file of the image. */
  readonly allow: readonly string[];
  readonly allowJit: readonly JsonText[];
  readonly denyJit: readonly JsonText[];
}

const fileShape = z.strictObject({
  schema: z.literal("pims.baseline-edits/v1"),
  ports: z.array(portText).max(MAX_PATHS).default([]),
  allow: z.array(z.string().max(4096)).max(MAX_ALLOWED).default([]),
  allowJit: z.array(pathText).max(MAX_PATHS).default([]),
  denyJit: z.array(pathText).max(MAX_PATHS).default([]),
});

/** Reads a file of edits that is kept beside an image. Throws `edits-unreadable`. */
export async function readEdits(path: string): Promise<Edits> {
  const bytes = await readBounded(path);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PimsError("edits-unreadable", `${path} is not JSON`, { cause });
  }
  const parsed = fileShape.safeParse(value);
  if (parsed.success) return joinEdits(parsed.data);
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? ` at ${issue.path.join(".")}` : "";
  throw new PimsError("edits-unreadable", `${path} is wrong${where}: ${issue?.message ?? "another shape"}`);
}

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    const stats = await file.stat();
    if (!stats.isFile()) throw new PimsError("edits-unreadable", `${path} is not a file`);
    if (stats.size > MAX_FILE_BYTES) throw new PimsError("edits-unreadable", `${path} is too large`);
    return await file.readFile();
  } catch (cause) {
    if (cause instanceof PimsError) throw cause;
    const why = errorCode(cause) === "ENOENT" ? "does not exist" : `cannot be read (${errorCode(cause)})`;
    throw new PimsError("edits-unreadable", `${path} ${why}`, { cause });
  }
}

/** All that several say. */
export function joinEdits(...all: readonly Edits[]): Edits {
  return {
    ports: all.flatMap(({ ports }) => ports),
    allow: all.flatMap(({ allow }) => allow),
    allowJit: all.flatMap(({ allowJit }) => allowJit),
    denyJit: all.flatMap(({ denyJit }) => denyJit),
  };
}

/** The paths among what is allowed, for building. Throws `usage` for what is neither a path nor a digest. */
export function listedPaths({ allow }: Pick<Edits, "allow">): string[] {
  const bad = allow.find((text) => !text.startsWith("/") && !isDigest(text));
  if (bad !== undefined)
    throw new PimsError("usage", `${JSON.stringify(bad.slice(0, 200))} is neither a path of the image nor a digest`, {
      hint: "a path begins with a slash, a digest is written like sha256:…",
    });
  return allow.filter((text) => !isDigest(text));
}

/**
 * The baseline with the edits; paths that are allowed were listed when it was built. Whatever order they are given in, it
 * is the same. Throws `usage` for what the image does not have, or what says nothing.
 */
export function applyEdits(baseline: Baseline, { ports, allow, allowJit, denyJit }: Edits): Baseline {
  const edited = editJitAllowance(addPorts(baseline, ports), { allow: allowJit, deny: denyJit });
  const digests = allow.filter(isDigest).map((text) => text.slice("sha256:".length));
  if (digests.length === 0) return edited;
  const allowed = [...new Set([...(edited.header.allowed ?? []), ...digests])].sort();
  return parseBaseline([formatHeader({ ...edited.header, allowed }), ...edited.lines.slice(1)]);
}

function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}
