import { join } from "node:path";
import { jsonTextBytes } from "../core/bytes.ts";
import { errorCode } from "../core/errors.ts";
import type { CodeObject } from "./facts.ts";
import type { FileDigests, MeasuredFile } from "./file-digest.ts";

/**
 * Programs of container runtimes that run for some milliseconds inside a container before its own program starts
 * (`runc init`), or that the runtime adds to it (`docker-init`).
 */
const PROGRAMS = ["runc", "crun", "docker-init", "tini", "conmon", "catatonit", "containerd-shim-runc-v2"];
const FOLDERS = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec/podman"];

/**
 * Tells the runtime's own helpers from a container's code. Nothing that the container says counts: a helper's program is
 * byte for byte one of the host's runtime programs, and everything else it has mapped is byte for byte the host's file
 * at the same path.
 */
export class HostPrograms {
  readonly #digests: FileDigests;
  #programs: Promise<ReadonlyMap<string, bigint>> | undefined;

  constructor(digests: FileDigests) {
    this.#digests = digests;
  }

  /** Whether all code that a process has mapped is a runtime helper's. `objects` must be all that it has. */
  async isHelper(objects: readonly CodeObject[]): Promise<boolean> {
    const program = objects.find((object) => object.role === "executable");
    if (program?.sha256 == null || !(await this.isRuntimeProgram(program.sha256))) return false;
    for (const object of objects) {
      if (object === program || object.backing === "kernel") continue;
      if (object.backing !== "file" || object.sha256 === null) return false;
      const path = Buffer.from(jsonTextBytes(object.path)).toString("latin1");
      if ((await this.#hostFile(path))?.sha256 !== object.sha256) return false;
    }
    return true;
  }

  /** Whether a file with this digest is one of the runtimes' programs on this host. */
  async isRuntimeProgram(sha256: string): Promise<boolean> {
    return (await this.programs()).has(sha256);
  }

  /** The runtimes' programs on this host: their SHA-256 and their sizes in bytes. */
  programs(): Promise<ReadonlyMap<string, bigint>> {
    this.#programs ??= this.#readPrograms();
    return this.#programs;
  }

  /** The runtimes may have been exchanged since: they are looked at again when somebody asks. */
  refresh(): void {
    this.#programs = undefined;
  }

  async #readPrograms(): Promise<ReadonlyMap<string, bigint>> {
    const paths = FOLDERS.flatMap((folder) => PROGRAMS.map((name) => join(folder, name)));
    const files = await Promise.all(paths.map((path) => this.#hostFile(path)));
    return new Map(files.filter((file) => file !== null).map(({ sha256, size }) => [sha256, size]));
  }

  async #hostFile(path: string): Promise<MeasuredFile | null> {
    try {
      return await this.#digests.measure(path);
    } catch (error) {
      // Not there, or not readable: then it is not the same file either.
      if (errorCode(error) !== undefined) return null;
      throw error;
    }
  }
}
