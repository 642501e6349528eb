// Imports go downwards in this list, never up. So no two rooms can need each other.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const rooms = [
  "cli",
  "demo",
  "agent",
  "verifier",
  "respond",
  "attest",
  "ledger",
  "baseline",
  "log",
  "measure",
  "container",
  "process",
  "tpm",
  "kernel",
  "core",
];
/** The same inside src/ledger; the empty name is the folder itself. Tests take what they need. */
const ledger = ["", "keys", "proof", "header", "rpc", "contract", "embedded"];

const root = join(import.meta.dirname, "..");
const source = join(root, "src");
const problems: string[] = [];

for (const entry of readdirSync(source, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
  const file = join(entry.parentPath, entry.name);
  const room = relative(source, file).split("/")[0]!;
  const rank = rooms.indexOf(room);
  if (rank < 0) problems.push(`${relative(root, file)}: no room called ${room}`);
  const text = readFileSync(file, "utf8");
  for (const match of text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)) {
    const target = match[1]!;
    if (target === "koffi" && room !== "kernel") problems.push(`${relative(root, file)}: FFI outside src/kernel`);
    if (!target.startsWith(".")) continue;
    const path = relative(source, join(dirname(file), target));
    if (path.startsWith("..")) continue;
    const targetRoom = path.split("/")[0]!;
    if (rooms.indexOf(targetRoom) < rank) problems.push(`${relative(root, file)}: imports upwards, from ${targetRoom}`);
    if (room !== "ledger" || targetRoom !== room || /(^|\/)testing[^/]*\.ts$|\.test\.ts$/.test(file)) continue;
    const [from, to] = [relative(source, file), path].map((name) =>
      ledger.indexOf(name.split("/").slice(1, -1).join("/")),
    );
    if (to! < from! || from! < 0) problems.push(`${relative(root, file)}: imports upwards, from ${path}`);
  }
}

for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
