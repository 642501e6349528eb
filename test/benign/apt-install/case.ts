import { runTool } from "../../../src/demo/run-tool.ts";
import type { BenignCase } from "../case.ts";

export const benign: BenignCase = {
  image: {
    name: "apt-install",
    packages: ["apt", "libc-bin", "perl-base", "diffutils"],
    knowsPackages: true,
    entrypoint: ["/usr/bin/sleep", "infinity"],
  },
  async ready({ volume }) {
    await runTool("apt-get", ["-o", "APT::Sandbox::User=root", "download", "-q", "stress"], { cwd: volume });
  },
  async work(site) {
    const asRoot = ["-o", "APT::Sandbox::User=root"];
    const install = 'exec apt-get install -y -q --reinstall --no-install-recommends "$@" /run/web/stress_*.deb';
    await site.exec("/bin/sh", "-c", install, "install", ...asRoot);
    await site.exec("/usr/bin/stress", "--quiet", "--cpu", "1", "--timeout", "1");
    return 1;
  },
};
