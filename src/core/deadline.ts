import { PimsError } from "./errors.ts";

/**
 * What `work` gives, or PimsError `coverage-incomplete` once `milliseconds` have passed. `work` is told when its time is
 * over, since what it waits for may still come.
 */
export async function withDeadline<T>(
  what: string,
  milliseconds: number,
  work: (expired: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    controller.abort();
    reject(new PimsError("coverage-incomplete", `${what} did not answer within ${milliseconds / 1000} s`));
  }, milliseconds);
  try {
    return await Promise.race([work(controller.signal), promise]);
  } finally {
    clearTimeout(timer);
  }
}
