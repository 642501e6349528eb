import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Baseline } from "../src/baseline/lines.ts";
import { startGuarded } from "./guarded.ts";
import type { Watcher } from "./watcher.ts";

const PID_FILE = "/run/fapolicyd.pid";
const CONFIG = "/etc/fapolicyd/fapolicyd.conf";
const SAMPLES = "/usr/share/fapolicyd/sample-rules";
/** "fapolicyd.rules.known-libs" of the package's README-rules. */
const RULES = [
  "10-languages",
  "20-dracut",
  "21-updaters",
  "30-patterns",
  "40-bad-elf",
  "41-shared-obj",
  "42-trusted-elf",
];
const MORE_RULES = ["70-trusted-lang", "72-shell", "90-deny-execute", "95-allow-open"];

/**
 * Where Debian's fapolicyd is set otherwise than by its package. It watches containers' file systems only, it denies nothing,
 * since what runs on this machine is not ours to stop, and it may lack the capability to become another user.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  permissive: "1",
  watch_fs: "overlay",
  allow_filesystem_mark: "1",
  trust: "file",
  uid: "root",
  gid: "root",
};

/** Debian's fapolicyd with the rules that its package offers, trusting what the baselines list. */
export function fapolicyd(folder: string, baselines: readonly Baseline[]): Watcher {
  return {
    name: "fapolicyd",
    async start() {
      for (const name of ["etc/trust.d", "lib", "run"]) await mkdir(join(folder, name), { recursive: true });
      const config = await readFile(CONFIG, "utf8");
      const lines = config.split("\n").filter((line) => !((line.split("=")[0] ?? "").trim() in SETTINGS));
      const set = Object.entries(SETTINGS).map(([name, value]) => `${name} = ${value}`);
      await writeFile(join(folder, "etc/fapolicyd.conf"), `${[...lines, ...set].join("\n")}\n`);
      const rules = [...RULES, ...MORE_RULES].map((name) => readFile(join(SAMPLES, `${name}.rules`), "utf8"));
      await writeFile(join(folder, "etc/fapolicyd.rules"), (await Promise.all(rules)).join("\n"));
      await writeFile(join(folder, "etc/fapolicyd.trust"), trustFile(baselines));
      const stop = await startGuarded({
        check: `
        [ ! -e ${PID_FILE} ] || ! kill -0 "$(cat ${PID_FILE})" 2>/dev/null || { echo "it is running already" >&2; exit 1; }`,
        start: `
        rm -f ${PID_FILE}
        mkdir -p /run/fapolicyd
        unshare --mount sh -ec '
          mount --bind "$1/etc" /etc/fapolicyd
          mount --bind "$1/lib" /var/lib/fapolicyd
          mount --bind "$1/run" /run/fapolicyd
          exec fapolicyd --permissive' sh '${folder}' >/dev/null
        for try in $(seq 200); do
          ! grep -qs '^fanotify sdev' /proc/"$(cat ${PID_FILE})"/fdinfo/* || exit 0
          sleep 0.1
        done
        echo "it does not begin to watch" >&2
        exit 1`,
        end: `
        pid=$(cat ${PID_FILE}) && kill "$pid" && for try in $(seq 50); do kill -0 "$pid" || exit 0; sleep 0.1; done
        kill -9 "$pid"`,
      });
      return { pid: Number(await readFile(PID_FILE, "utf8")), stop };
    },
  };
}

/** Path, size and SHA-256 a line (fapolicyd.trust(5)), the path as it is in the container. */
function trustFile(baselines: readonly Baseline[]): string {
  const lines = new Map<string, string>();
  for (const { entries } of baselines)
    for (const { path, size, sha256 } of entries)
      if (typeof path === "string" && !/\s/.test(path)) lines.set(path, `${path} ${size} ${sha256}\n`);
  return [...lines.values()].join("");
}
