import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { startGuarded } from "./guarded.ts";
import type { Watcher } from "./watcher.ts";

const RULE = "always,exit -F arch=b64 -S execve,execveat -k pims-bench";

/**
 * Once auditing was on, the kernel looks at every system call of every process that begins after that, until the next
 * boot, unless this rule says not to. With it, a machine is as if auditing had never been on. Throws where auditing is in use.
 */
export function withoutAuditing(): Promise<() => Promise<void>> {
  return startGuarded({
    check: `
      [ "$(auditctl -s | sed -n 's/^pid //p')" = 0 ] || { echo "an audit daemon is running already" >&2; exit 1; }
      [ "$(auditctl -l)" = "No rules" ] || { echo "there are audit rules already" >&2; exit 1; }`,
    start: "auditctl -a never,task",
    end: "auditctl -d never,task",
  });
}

/** Debian's auditd with its own settings and a rule for exec, its log in `folder`. To be started after `withoutAuditing`. */
export function auditd(folder: string): Watcher {
  return {
    name: "auditd",
    onlyNewProcesses: true,
    async start() {
      await mkdir(join(folder, "plugins.d"), { recursive: true, mode: 0o750 });
      const stop = await startGuarded({
        check: "",
        start: `
        cd '${folder}'
        sed -e 's#^log_file *=.*#log_file = ${folder}/audit.log#' -e 's#^plugin_dir *=.*#plugin_dir = ${folder}/plugins.d#' \\
          /etc/audit/auditd.conf >auditd.conf
        auditctl -s | sed -n 's/^enabled //p' >enabled
        auditctl -s | sed -n 's/^backlog_limit //p' >limit
        auditd -n -c '${folder}' >/dev/null & echo $! >pid
        for try in $(seq 50); do
          [ "$(auditctl -s | sed -n 's/^pid //p')" = 0 ] || break
          sleep 0.1
        done
        [ "$(auditctl -s | sed -n 's/^pid //p')" != 0 ] || { echo "auditd does not start here" >&2; exit 1; }
        auditctl -d never,task
        auditctl -b 8192 >/dev/null
        auditctl -a ${RULE}`,
        end: `
        cd '${folder}' || exit 1
        auditctl -d ${RULE}
        kill "$(cat pid)" && while kill -0 "$(cat pid)"; do sleep 0.05; done
        auditctl -b "$(cat limit)"
        auditctl -e "$(cat enabled)"
        auditctl -l | grep -q never,task || auditctl -a never,task`,
      });
      return { stop };
    },
  };
}
