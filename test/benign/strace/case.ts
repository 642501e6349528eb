import type { BenignCase } from "../case.ts";

const loop = `#!/bin/sh
while :; do
  cat /etc/hosts >/dev/null
  sleep 0.1
done
`;

export const benign: BenignCase = {
  image: {
    name: "strace",
    packages: ["strace"],
    files: { "usr/local/bin/loop": loop },
    entrypoint: ["/usr/local/bin/loop"],
  },
  async ready() {},
  async work(site) {
    const trace = "timeout -k 5 1 strace -f -o /tmp/trace -p 1 2>/dev/null; wc -l </tmp/trace";
    const lines = Number(await site.exec("/bin/sh", "-c", trace));
    if (!(lines > 0)) throw new Error("strace saw no system call");
    return lines;
  },
};
