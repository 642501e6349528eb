import type { Recipe } from "../test/benign/images.ts";
import type { Site } from "../test/benign/site.ts";

/** Microseconds from before a program is started until it has ended, of each start. */
export interface ExecTimes {
  /** Of programs that the tool, started a moment ago, has not seen yet. */
  readonly first: readonly number[];
  /** Of the same ones again. */
  readonly repeated: readonly number[];
}

const PROGRAMS = 200;
const AGAIN = 5;

const script = `import json, os, time
def start(path):
    begin = time.perf_counter_ns()
    os.waitpid(os.posix_spawn(path, [path], {}), 0)
    return (time.perf_counter_ns() - begin) / 1000
def settle():
    for i in range(50): start("/bin/true")
paths = ["/opt/program-%d" % i for i in range(${PROGRAMS})]
settle()
print(json.dumps({"first": [start(path) for path in paths],
    "repeated": [start(path) for again in range(${AGAIN}) for path in paths]}))
`;

/** So many processes as the volume's file `count` says, nine of ten a `sleep`, the tenth Python. */
const entry = `#!/bin/sh
i=1
while [ $i -lt "$(cat /run/web/count)" ]; do
  if [ $((i % 10)) = 9 ]; then
    python3 -c 'import json, ssl, ctypes, time; time.sleep(100000)' &
  else
    sleep 100000 &
  fi
  i=$((i + 1))
done
exec sleep 100000
`;

export const PYTHON: Recipe = {
  name: "bench-python",
  packages: ["python3"],
  files: { "usr/local/bin/entry": entry, "usr/local/share/latency.py": script },
  programs: Object.fromEntries(Array.from({ length: PROGRAMS }, (_, index) => [`opt/program-${index}`, "/bin/true"])),
  entrypoint: ["/usr/local/bin/entry"],
};

/** One process after another, so that a second core is free for whoever watches. */
export async function execTimes(site: Site): Promise<ExecTimes> {
  return JSON.parse(await site.exec("/usr/bin/python3", "/usr/local/share/latency.py")) as ExecTimes;
}
