import type { Attack } from "../attack.ts";

export const attack: Attack = {
  async act(site) {
    const script = 'echo "{\\"pid\\": $$}" >/run/web/done.said; sleep 3600';
    await site.exec(["/usr/bin/sh", "-c", `echo '${script}' | /usr/bin/sh`]);
    const { pid } = await site.said("done");
    return site.hostPid(pid);
  },
};
