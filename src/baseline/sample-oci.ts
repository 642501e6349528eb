// For tests: OCI layouts, as files of a folder or members of an archive.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256Hex } from "../core/digest.ts";
import { type SampleEntry, sampleTar } from "./sample-tar.ts";

export interface SampleImage {
  /** Lowest first: uncompressed layers. */
  readonly layers: readonly Buffer[];
  readonly pack?: (layer: Buffer, index: number) => Buffer;
  readonly architecture?: string;
  readonly config?: object;
  /** Of the manifest's descriptor. */
  readonly platform?: object | null;
}

export interface SampleDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  [member: string]: unknown;
}

export interface SampleLayout {
  /** By path in the layout. */
  readonly files: Map<string, Buffer>;
  readonly manifests: readonly SampleDescriptor[];
  /** Of configurations, one for each image. */
  readonly identities: readonly string[];
}

const OCI = "application/vnd.oci.image";

export function sampleConfig({ layers, architecture = "amd64", config }: SampleImage): Buffer {
  return Buffer.from(
    JSON.stringify({
      architecture,
      os: "linux",
      config: { ExposedPorts: { "80/tcp": {} }, Entrypoint: ["/bin/server"], Cmd: ["-v"] },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${sha256Hex(layer)}`) },
      ...config,
    }),
  );
}

/** `nested`: an index of its own lists the images, as registries keep those of several platforms. */
export function sampleLayout(
  images: readonly SampleImage[],
  {
    nested = false,
    name = "docker.io/sample/web:1",
  }: { readonly nested?: boolean; readonly name?: string | null } = {},
): SampleLayout & { readonly index: string | null } {
  const files = new Map<string, Buffer>();
  const add = (bytes: Buffer, mediaType: string): SampleDescriptor => {
    const hex = sha256Hex(bytes);
    files.set(`blobs/sha256/${hex}`, bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const identities: string[] = [];
  const manifests = images.map((image) => {
    const config = add(sampleConfig(image), `${OCI}.config.v1+json`);
    identities.push(config.digest);
    const pack = image.pack ?? ((layer: Buffer) => layer);
    const layers = image.layers.map((layer, at) => add(pack(layer, at), `${OCI}.layer.v1.tar`));
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, config, layers });
    const platform =
      image.platform === undefined ? { os: "linux", architecture: image.architecture ?? "amd64" } : image.platform;
    return { ...add(Buffer.from(manifest), `${OCI}.manifest.v1+json`), ...(platform === null ? {} : { platform }) };
  });
  const annotations = name === null ? {} : { annotations: { "io.containerd.image.name": name } };
  let index: string | null = null;
  if (nested) {
    const inner = add(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })), `${OCI}.index.v1+json`);
    index = inner.digest;
    files.set(
      "index.json",
      Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ ...inner, ...annotations }] })),
    );
  } else {
    const named = manifests.map((manifest) => ({ ...manifest, ...annotations }));
    files.set("index.json", Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: named })));
  }
  files.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  return { files, manifests, identities, index };
}

export function writeLayout(folder: string, files: ReadonlyMap<string, Buffer>): string {
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return folder;
}

export function packLayout(files: ReadonlyMap<string, Buffer>): Buffer {
  return sampleTar([...files].map(([name, content]): SampleEntry => ({ name, content })));
}
