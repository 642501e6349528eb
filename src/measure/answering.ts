import { PimsError } from "../core/errors.ts";

/** A disk that is busy answers later than that only when it is broken. */
const PATIENCE_MS = 5000;
/**
 * Each question that is not answered holds one of the threads that all files are read with (UV_THREADPOOL_SIZE): beyond
 * so many, file systems that never answered before are not asked any more.
 */
const MAX_SILENT = 2;

/** Questions that nobody has answered yet, by the device of the file system that was asked, and those that ever did. */
const silent = new Map<string, number>();
const known = new Set<string>();
const MAX_KNOWN = 65_536;

/**
 * What a file system answers to one question about a file. A container can have one that never does (FUSE), and so can a
 * network: then PimsError `coverage-incomplete` after 5 seconds, and at once until that first question is answered.
 */
export async function answering<T>(device: string, question: () => Promise<T>): Promise<T> {
  if (silent.has(device) || (silent.size >= MAX_SILENT && !known.has(device))) throw noAnswer();
  const asked = question();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    silent.set(device, (silent.get(device) ?? 0) + 1);
    const done = (): void => {
      const left = silent.get(device)! - 1;
      if (left === 0) silent.delete(device);
      else silent.set(device, left);
    };
    asked.then(done, done);
    reject(noAnswer());
  }, PATIENCE_MS);
  try {
    const answer = await Promise.race([asked, promise]);
    if (known.size >= MAX_KNOWN) known.clear();
    known.add(device);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}

function noAnswer(): PimsError {
  return new PimsError("coverage-incomplete", "an executable file lies on a file system that does not answer");
}
