import { readFile } from "node:fs/promises";
import { z } from "zod";
import { sha256Hex } from "../core/digest.ts";
import { errorCode, PimsError } from "../core/errors.ts";
import { digestSchema } from "../log/finding.ts";

const path = z.string().startsWith("/").max(4096);
const files = z.array(z.strictObject({ path, sha256: digestSchema })).max(65_536);

/** What a release consists of on a host: paths there, and the files' SHA-256. */
export const releaseManifestSchema = z.strictObject({
  schema: z.literal("pims.release/v1"),
  version: z.string().max(64),
  agent: z.strictObject({
    /** Everything below is the agent's: a file that is not listed is as wrong as one that is changed. */
    folders: z.array(path).max(64),
    files,
  }),
  /** The container runtime's programs. */
  runtime: z.strictObject({ files }),
});
export type ReleaseManifest = z.infer<typeof releaseManifestSchema>;

/** Folders within the agent's that hold no code of it: git's, and what set-up keeps. */
export const NOT_RELEASED: readonly string[] = [".git", ".cache"];

export type ReleasePart = "agent" | "runtime";

/** Manifests of all releases that a host may run, ready for judging. */
export class Releases {
  /** Tells one set of manifests from another. */
  readonly id: string;
  readonly isEmpty: boolean;
  readonly manifests: readonly ReleaseManifest[];
  readonly #folders: readonly string[];
  readonly #files = new Map<string, { part: ReleasePart; digests: Set<string> }>();

  constructor(manifests: readonly ReleaseManifest[]) {
    this.id = sha256Hex(JSON.stringify(manifests));
    this.isEmpty = manifests.length === 0;
    this.manifests = manifests;
    this.#folders = [...new Set(manifests.flatMap(({ agent }) => agent.folders))];
    for (const { agent, runtime } of manifests) {
      for (const file of agent.files) this.#add("agent", file);
      for (const file of runtime.files) this.#add("runtime", file);
    }
  }

  #add(part: ReleasePart, { path, sha256 }: { path: string; sha256: string }): void {
    const known = this.#files.get(path);
    if (known === undefined) this.#files.set(path, { part, digests: new Set([sha256]) });
    else known.digests.add(sha256);
  }

  /** Whose a file at this path would be, and the digests that it may have; undefined when no release says anything of it. */
  at(path: string): { readonly part: ReleasePart; readonly digests: ReadonlySet<string> } | undefined {
    const listed = this.#files.get(path);
    if (listed !== undefined) return listed;
    const below = this.#folders.some(
      (folder) => path.startsWith(`${folder}/`) && !NOT_RELEASED.includes(path.slice(folder.length + 1).split("/")[0]!),
    );
    return below ? { part: "agent", digests: new Set() } : undefined;
  }
}

const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

/** Reads manifests. Throws `release-invalid`. */
export async function readReleases(paths: readonly string[]): Promise<Releases> {
  return new Releases(await Promise.all(paths.map(readManifest)));
}

async function readManifest(file: string): Promise<ReleaseManifest> {
  const invalid = (why: string) => new PimsError("release-invalid", `the release manifest ${file} ${why}`);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw invalid(`cannot be read (${errorCode(error)})`);
  }
  if (text.length > MAX_MANIFEST_BYTES) throw invalid("is larger than 16 MiB");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("is not JSON");
  }
  const parsed = releaseManifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw invalid(`is wrong at ${issue.path.join(".")}: ${issue.message}`);
}
