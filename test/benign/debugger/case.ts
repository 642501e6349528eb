import type { BenignCase } from "../case.ts";

const steps = [
  ...["set breakpoint always-inserted on", "break clock_nanosleep"],
  ...["shell sleep 2", "info breakpoints", "delete breakpoints", "detach"],
];

export const benign: BenignCase = {
  image: { name: "debugger", packages: ["gdb-minimal"], entrypoint: ["/usr/bin/sleep", "infinity"] },
  async ready() {},
  async work(site) {
    const said = await site.exec("/usr/bin/gdb", "-batch", "-nx", "-p", "1", ...steps.flatMap((step) => ["-ex", step]));
    if (!/breakpoint +keep y .* clock_nanosleep/.test(said) && !/breakpoint +keep y /.test(said))
      throw new Error(`gdb set no breakpoint: ${said.trim().split("\n").at(-1)}`);
    return 1;
  },
};
