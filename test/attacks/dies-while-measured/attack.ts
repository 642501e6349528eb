import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    await site.copyIn(site.images.dropper, "/tmp/kworker");
    const script = `for i in $(seq 100); do /tmp/kworker -h 2>/dev/null; done; echo "{\\"pid\\": $$}" >/run/web/done.said`;
    await site.exec(["/usr/bin/sh", "-c", script]);
    const sweeping = new AbortController();
    const sweeps = (async () => {
      while (!sweeping.signal.aborted) await site.sweep();
    })();
    await site.said("done").finally(() => sweeping.abort());
    await sweeps;
    return null;
  },
};
