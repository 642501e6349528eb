import type { RuntimeStart } from "./start.ts";

/** The runtimes whose cgroup names PIMS knows. */
export type Runtime = "docker" | "containerd" | "podman" | "crio" | "runc";

/** What the kernel alone tells about a container: whose cgroup name it is, and the full id in it. */
export interface ContainerRef {
  readonly runtime: Runtime;
  readonly id: string;
}

/** What the container's runtime adds. It is the host's word, not the container's. */
export interface ContainerInfo extends ContainerRef {
  readonly name: string;
  /** Identity of the image (`sha256:…`): its config digest, or the tree digest of a root file system. Null when unknown. */
  readonly image: string | null;
  readonly imageName: string | null;
  /** Digest of the manifest that it was made from, where its engine names the image otherwise and tells this, too. */
  readonly manifest?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Why its image, which the runtime names somehow, could not be told: one sentence. */
  readonly unresolved?: string;
  /** How it was started. Absent where no runtime was asked or none tells. */
  readonly start?: RuntimeStart;
}

/** The key under which a container is known: `runtime:id`. */
export function containerKey(container: ContainerRef): string {
  return `${container.runtime}:${container.id}`;
}
