import { PimsError } from "../core/errors.ts";
import { complain, EXIT } from "./output.ts";

/** Wraps a command's action: it returns the exit status; what it throws is one sentence and status 1. */
export function action<A extends unknown[]>(run: (...args: A) => Promise<number>): (...args: A) => Promise<void> {
  return async (...args) => {
    try {
      process.exitCode = await run(...args);
    } catch (error) {
      complain(error);
      process.exitCode = EXIT.failed;
    }
  };
}

/** For an option that may be given again. */
export function append(value: string, before: string[]): string[] {
  return [...before, value];
}

/** An option's value as a number from 0 up to and including `most`. Throws `usage`. */
export function wholeNumber(option: string, text: string, most: number): number {
  if (/^\d{1,15}$/.test(text) && Number(text) <= most) return Number(text);
  throw new PimsError("usage", `${option} is a whole number up to ${most}`);
}

/** Runs until SIGINT or SIGTERM, then ends in order. A second signal ends at once. */
export function untilSignal(): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(EXIT.failed);
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return {
    signal: controller.signal,
    dispose() {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
    },
  };
}
