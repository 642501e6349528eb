import { posix } from "node:path";
import { PimsError } from "../core/errors.ts";
import type { ArchiveMember } from "./archive-members.ts";
import { checkBlob, type Descriptor, type ImageBlobs } from "./image-blobs.ts";
import type { Layer } from "./layer.ts";

/** What an archive holds, found by place or by digest. */
export class ArchiveBlobs implements ImageBlobs {
  readonly #members: ReadonlyMap<string, ArchiveMember>;

  constructor(members: ReadonlyMap<string, ArchiveMember>) {
    this.#members = members;
  }

  documentAt(path: string): Uint8Array | undefined {
    const member = this.#members.get(pathOf(path));
    return member?.type === "document" ? member.bytes : undefined;
  }

  /** Docker writes a layer that several images have once, and symbolic links to it. Throws `image-malformed`. */
  layerAt(path: string): Layer {
    const { at, member } = this.#follow(path);
    if (member?.type === "damaged") throw member.error;
    if (member?.type !== "layer")
      throw new PimsError("image-malformed", `the archive has no layer ${JSON.stringify(path)}`);
    const named = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(at)?.[1];
    if (named !== undefined) checkBlob({ digest: `sha256:${named}`, size: member.size }, member);
    return member.layer;
  }

  async document(descriptor: Descriptor): Promise<Uint8Array | undefined> {
    const member = this.#members.get(blobPath(descriptor));
    if (member === undefined) return undefined;
    if (member.type !== "document")
      throw new PimsError("image-malformed", `the image's blob ${descriptor.digest} is no JSON document`);
    checkBlob(descriptor, member);
    return member.bytes;
  }

  async layer(descriptor: Descriptor): Promise<Layer> {
    const { member } = this.#follow(blobPath(descriptor));
    if (member?.type === "damaged") throw member.error;
    if (member?.type !== "layer")
      throw new PimsError("image-malformed", `the archive has no layer ${descriptor.digest}`);
    checkBlob(descriptor, member);
    return member.layer;
  }

  #follow(path: string): { at: string; member: ArchiveMember | undefined } {
    let at = path;
    for (let hops = 0; hops < 8; hops++) {
      const member = this.#members.get(at);
      if (member?.type !== "link") return { at, member };
      at = posix.join(posix.dirname(at), member.target);
    }
    return { at, member: undefined };
  }
}

export function blobPath({ digest }: Descriptor): string {
  return `blobs/${digest.replace(":", "/")}`;
}

export function pathOf(name: string): string {
  return posix.normalize(name);
}
