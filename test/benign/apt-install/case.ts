import assert from "node:assert/strict";
import { runTool } from "../../../src/demo/run-tool.ts";
import type { BenignCase } from "../case.ts";
import type { Site } from "../site.ts";

const asRoot = ["-o", "APT::Sandbox::User=root"];

const install = (site: Site, name: string) =>
  site.exec(
    ...["/bin/sh", "-c", `exec apt-get "$@" /run/web/${name}_*.deb`, "apt-get", ...asRoot],
    ...["install", "-y", "-q", "--reinstall", "--no-install-recommends"],
  );

export const benign: BenignCase = {
  image: {
    name: "apt-install",
    packages: ["apt", "libc-bin", "perl-base", "diffutils"],
    knowsPackages: true,
    entrypoint: ["/usr/bin/sleep", "infinity"],
  },
  async ready(site) {
    await runTool("apt-get", [...asRoot, "download", "-q", "stress", "hello"], { cwd: site.volume });
    await install(site, "stress");
  },
  async work(site) {
    await install(site, "hello");
    const run = site.exec("/usr/bin/stress", "--quiet", "--cpu", "1", "--timeout", "1");
    if (site.enforced) await assert.rejects(run, /operation not permitted/);
    else await run;
    return 1;
  },
};
