/** Whether work came to its end before `milliseconds` had passed or `stop` was aborted. Throws what it throws until then. */
export async function within(milliseconds: number, work: Promise<unknown>, stop?: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const late = () => resolve(false);
  const timer = setTimeout(late, stop?.aborted ? 0 : milliseconds);
  stop?.addEventListener("abort", late, { once: true });
  try {
    return await Promise.race([work.then(() => true), promise]);
  } finally {
    clearTimeout(timer);
    stop?.removeEventListener("abort", late);
  }
}
