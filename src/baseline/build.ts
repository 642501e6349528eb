export type { BuildOptions, BuiltImage } from "./built-image.ts";
export { buildFromFolder, type FolderSource } from "./folder.ts";
export { buildFromArchive, buildFromArchiveFile } from "./image-archive.ts";
export { buildFromOciLayout } from "./oci-layout.ts";
