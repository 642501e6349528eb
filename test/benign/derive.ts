// A worker: reading an image keeps a thread busy, and the sweeps of other containers go on meanwhile.
import { parentPort, Worker, workerData } from "node:worker_threads";
import { buildFromFolder, type FolderSource } from "../../src/baseline/build.ts";
import { parseBaseline } from "../../src/baseline/format.ts";
import type { Baseline } from "../../src/baseline/lines.ts";

if (parentPort !== null) parentPort.postMessage((await buildFromFolder(workerData as FolderSource)).lines);

/** Derives the baseline of a root file system in a thread of its own. */
export function deriveBaseline(source: FolderSource): Promise<Baseline> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: source });
    worker.once("message", (lines: string[]) => resolve(parseBaseline(lines)));
    worker.once("error", reject);
    worker.once("exit", (code) => reject(new Error(`the baseline's thread ended with status ${code}`)));
  });
}
