// For tests: image archives as `docker save` writes them.
import { sha256Hex } from "../core/digest.ts";
import { type SampleEntry, sampleTar } from "./sample-tar.ts";

export interface SampleArchive {
  /** Lowest first: uncompressed layers. */
  readonly layers: readonly Buffer[];
  /** How a layer is in the archive. */
  readonly pack?: (layer: Buffer, index: number) => Buffer;
  /** `blobs/sha256/…` as of Docker 25, or a folder a layer and the manifest at the end. */
  readonly form?: "oci" | "docker";
  readonly config?: object;
  readonly tags?: readonly string[] | null;
  /** Changes what is written, after all digests are taken. */
  readonly change?: (entries: SampleEntry[]) => SampleEntry[];
}

/** The archive and the digest of its image's configuration. */
export function sampleArchive(options: SampleArchive): { archive: Buffer; identity: string } {
  const { layers, form = "docker", pack = (layer: Buffer) => layer } = options;
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { ExposedPorts: { "80/tcp": {} }, Entrypoint: ["/bin/server"], Cmd: ["-v"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${sha256Hex(layer)}`) },
    ...options.config,
  });
  const digest = sha256Hex(config);
  const packed = layers.map(pack);
  const layerNames = packed.map((layer, at) =>
    form === "oci" ? `blobs/sha256/${sha256Hex(layer)}` : `${at}/layer.tar`,
  );
  const configName = form === "oci" ? `blobs/sha256/${digest}` : `${digest}.json`;
  const RepoTags = options.tags === undefined ? ["sample/web:1"] : options.tags;
  const manifest = JSON.stringify([{ Config: configName, RepoTags, Layers: layerNames }]);
  const layerEntries = packed.map((content, at) => ({ name: layerNames[at]!, content }));
  const entries: SampleEntry[] = [
    ...layerEntries.filter(({ name }, at) => layerNames.indexOf(name) === at),
    { name: configName, content: config },
    { name: "manifest.json", content: manifest },
  ];
  return { archive: sampleTar((options.change ?? ((same) => same))(entries)), identity: `sha256:${digest}` };
}
