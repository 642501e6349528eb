import { MAX_PATH_BYTES } from "./schema.ts";
import { latin1, malformedTar } from "./tar-header.ts";

/**
 * The parts of a name in an archive, relative to the root whether or not it starts with a slash; none for the root
 * itself. One character a byte (latin1), so that names need not be UTF-8. A name that leads upwards is `image-malformed`:
 * no builder writes one, and to go by it is how unpacking a hostile archive writes outside its folder.
 */
export function layerPath(name: Uint8Array): string[] {
  if (name.length > MAX_PATH_BYTES) throw malformedTar("a name is too long");
  const parts = latin1(name)
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw malformedTar("a name leads out of the image");
  if (parts.some((part) => part.length > 255)) throw malformedTar("a name is too long");
  return parts;
}
