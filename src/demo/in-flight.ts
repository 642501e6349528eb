import { PimsError } from "../core/errors.ts";
import type { DemoRuntime } from "./containers.ts";

/**
 * The same runtime, whose `cleanup` first waits for what is under way and lets nothing new begin. Else a Ctrl-C in the
 * middle of a start would remove a container that is about to exist.
 */
export function withOrderlyCleanup(runtime: DemoRuntime): DemoRuntime {
  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  const track = <A extends readonly unknown[], R>(act: (...args: A) => Promise<R>): ((...args: A) => Promise<R>) => {
    return (...args) => {
      if (closed) return Promise.reject(new PimsError("demo-ended", "the demo's containers are being removed"));
      const promise = act(...args);
      underWay.add(promise);
      const done = (): boolean => underWay.delete(promise);
      promise.then(done, done);
      return promise;
    };
  };
  return {
    kind: runtime.kind,
    namePattern: runtime.namePattern,
    provideImage: track(runtime.provideImage),
    start: track(runtime.start),
    exec: track(runtime.exec),
    copyIn: track(runtime.copyIn),
    remove: track(runtime.remove),
    async cleanup() {
      closed = true;
      await Promise.allSettled(underWay);
      await runtime.cleanup();
    },
  };
}
