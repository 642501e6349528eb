import { createWriteStream } from "node:fs";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";

/** A folder as a cpio archive of the form "newc" (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), all of root. */
export async function writeCpio(folder: string, file: string): Promise<void> {
  const out = createWriteStream(file);
  const write = (bytes: Uint8Array | string) =>
    new Promise<void>((resolve, reject) => out.write(bytes, (error) => (error ? reject(error) : resolve())));
  let inode = 1;
  const add = async (name: string, mode: number, data: Uint8Array) => {
    const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
    await write(header + "\0".repeat(-header.length & 3));
    await write(data);
    await write("\0".repeat(-data.length & 3));
  };
  const visit = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
      const name = join(below, entry.name);
      const path = join(folder, name);
      if (entry.isDirectory()) {
        await add(name, 0o040755, new Uint8Array(0));
        await visit(name);
      } else if (entry.isSymbolicLink()) await add(name, 0o120777, Buffer.from(await readlink(path)));
      else if (entry.isFile()) await add(name, 0o100755, await readFile(path));
    }
  };
  await visit("");
  await add("TRAILER!!!", 0, new Uint8Array(0));
  out.end();
  await finished(out);
}
