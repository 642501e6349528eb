import { z } from "zod";
import { PimsError } from "../core/errors.ts";
import { exactObject } from "../core/read-json.ts";
import type { Layer } from "./layer.ts";

export const digestText = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** OCI image specification, "Content Descriptors", as far as a baseline needs it. */
export const descriptorShape = exactObject({
  digest: digestText,
  /** Bytes. */
  size: z.int().nonnegative(),
  mediaType: z.string().nullish(),
  platform: exactObject({
    os: z.string().nullish(),
    architecture: z.string().nullish(),
    variant: z.string().nullish(),
  }).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});

export type Descriptor = z.infer<typeof descriptorShape>;

/** Most bytes of a configuration, a manifest or an index (engines and registries stop at 4 MiB). */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/** What an image consists of, found by digest. What is given has the descriptor's digest and size: the store checks it. */
export interface ImageBlobs {
  /** Undefined where it is not there, which another platform's may. Throws `image-malformed`, `image-unreadable`. */
  document(descriptor: Descriptor): Promise<Uint8Array | undefined>;
  /** Throws `image-malformed`, `image-unreadable`, `image-too-large`. */
  layer(descriptor: Descriptor): Promise<Layer>;
}

/** Throws `image-malformed` for a blob that is not the one that its descriptor names. */
export function checkBlob(descriptor: Descriptor, found: { readonly sha256: string; readonly size: number }): void {
  if (found.size !== descriptor.size) {
    const text = `the image's blob ${descriptor.digest} has ${found.size} bytes and not ${descriptor.size}`;
    throw new PimsError("image-malformed", text);
  }
  if (`sha256:${found.sha256}` !== descriptor.digest) {
    const text = `the image's blob ${descriptor.digest} has another digest, sha256:${found.sha256}`;
    throw new PimsError("image-malformed", text);
  }
}
