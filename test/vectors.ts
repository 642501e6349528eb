import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Folder of test data that is not part of this project (real quotes, event logs, …): the environment's PIMS_VECTORS, else
 * `../shared/vectors` beside the checkout. Undefined where there is none; tests then say that they were skipped.
 */
export function vectorsFolder(): string | undefined {
  const folder = process.env.PIMS_VECTORS ?? join(import.meta.dirname, "../../shared/vectors");
  return existsSync(join(folder, "README.md")) ? folder : undefined;
}

/** For the `skip` option of a test: the reason when there are no vectors, else false. */
export function withoutVectors(): string | false {
  return vectorsFolder() === undefined ? "the folder of test vectors is not here (see PIMS_VECTORS)" : false;
}

/** The bytes of one file of that folder. */
export function vector(name: string): Uint8Array {
  const folder = vectorsFolder();
  if (folder === undefined) throw new Error("there are no test vectors");
  return new Uint8Array(readFileSync(join(folder, name)));
}
