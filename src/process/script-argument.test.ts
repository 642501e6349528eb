import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { INTERPRETERS } from "./interpreters.ts";
import { scriptArgument } from "./script-argument.ts";

/** The script that a command line names: its first name, or why there is none. */
function scriptOf(program: string, line: string, comm = program.slice(program.lastIndexOf("/") + 1).slice(0, 15)) {
  const found = scriptArgument(program, comm, line.split(" "), "/bin:/opt/bin");
  return "names" in found ? found.names[0] : found.kind === "no-file" ? `(${found.why})` : null;
}

const lines: readonly [string, string, string | null][] = [
  ["/usr/bin/dash", "sh /tmp/x.sh a b", "/tmp/x.sh"],
  ["/usr/bin/dash", "sh -e x.sh", "x.sh"],
  ["/usr/bin/dash", "sh -c id", "(command)"],
  ["/usr/bin/dash", "sh -ec id", "(command)"],
  ["/usr/bin/dash", "sh -s a", "(stdin)"],
  ["/usr/bin/dash", "-sh", "(stdin)"],
  ["/usr/bin/dash", "sh", "(stdin)"],
  ["/usr/bin/dash", "sh - x.sh", "x.sh"],
  ["/usr/bin/dash", "sh -- -x.sh", "-x.sh"],
  ["/usr/bin/dash", "sh +e x.sh", "x.sh"],
  ["/bin/bash", "bash -euo pipefail x.sh", "x.sh"],
  ["/bin/bash", "bash -oe pipefail x.sh", "x.sh"],
  ["/bin/bash", "bash -oc pipefail id", "(command)"],
  ["/bin/bash", "bash --rcfile r --norc x.sh", "x.sh"],
  ["/bin/bash", "bash -O extglob +O nullglob x.sh", "x.sh"],
  ["/usr/bin/python3.11", "python3 x.py", "x.py"],
  ["/usr/bin/python3.11", "python3 -u -W ignore -X dev x.py", "x.py"],
  ["/usr/bin/python3.11", "python3 -Wignore -Xdev x.py", "x.py"],
  ["/usr/bin/python3.11", "python3 -m http.server", "(module)"],
  ["/usr/bin/python3.11", "python3 -um http.server", "(module)"],
  ["/usr/bin/python3.11", "python3 -c pass x.py", "(command)"],
  ["/usr/bin/python3.11", "python3 -", "(stdin)"],
  ["/usr/bin/pypy3", "pypy3 x.py", "x.py"],
  ["/usr/bin/perl5.36.0", "perl -w -I lib x.pl", "x.pl"],
  ["/usr/bin/perl", "perl -Ilib -MPOSIX -T x.pl", "x.pl"],
  ["/usr/bin/perl", "perl -lane print", "(command)"],
  ["/usr/bin/perl", "perl -i.bak -pe s/a/b/ f", "(command)"],
  ["/usr/bin/perl", "perl -d:Trace x.pl", "x.pl"],
  ["/usr/bin/ruby3.1", "ruby -r json -W2 x.rb", "x.rb"],
  ["/usr/bin/ruby3.1", "ruby -ne puts", "(command)"],
  ["/usr/bin/php8.2", "php -d memory_limit=1G -f x.php -- a", "x.php"],
  ["/usr/bin/php8.2", "php -S 127.0.0.1:80 -t /srv router.php", "router.php"],
  ["/usr/bin/php8.2", "php -r phpinfo();", "(command)"],
  ["/usr/sbin/php-fpm8.2", "php-fpm: master process", null],
  ["/usr/bin/node", "node --max-old-space-size=64 --require ./a.js x.js", "x.js"],
  ["/usr/bin/node", "node -r ./a.js inspect x.js", "x.js"],
  ["/usr/bin/node", "node -e 1", "(command)"],
  ["/usr/bin/node", "node --eval=1", "(command)"],
  ["/usr/bin/node", "node -pe 1", "(command)"],
  ["/usr/bin/lua5.4", "lua -e a=1 -l m x.lua", "x.lua"],
  ["/usr/bin/lua5.4", "lua -e a=1", "(command)"],
  ["/usr/bin/luajit-2.1.0-beta3", "luajit -joff x.lua", "x.lua"],
  ["/usr/bin/tclsh8.6", "tclsh -encoding utf-8 x.tcl", "x.tcl"],
  ["/usr/bin/expect", "expect -c a -f x.exp", "x.exp"],
  ["/usr/bin/mawk", "awk -F : -v a=1 -f x.awk data", "x.awk"],
  ["/usr/bin/mawk", "awk {print} data", "(command)"],
  ["/bin/busybox", "sh x.sh", "x.sh"],
  ["/bin/busybox", "/bin/busybox ash -x x.sh", "x.sh"],
  ["/bin/busybox", "-sh", "(stdin)"],
  ["/bin/busybox", "busybox ls x.sh", null],
  ["/bin/busybox", "awk -f x.awk", "x.awk"],
  ["/usr/bin/cat", "cat x.sh", null],
];

for (const [program, line, script] of lines)
  test(`${line} (${program}) runs ${script ?? "no script"}`, () => assert.equal(scriptOf(program, line), script));

test("a script that was executed by its first line is told by the name that the kernel gave the process", () => {
  assert.equal(scriptOf("/usr/bin/make", "/usr/bin/make -f /srv/rules all", "rules"), "/srv/rules");
  assert.equal(
    scriptOf("/opt/own", "/opt/own ./a-name-that-is-longer.own x", "a-name-that-is-"),
    "./a-name-that-is-longer.own",
  );
  assert.equal(scriptArgument("/opt/own", "x", ["/opt/own", "x"], undefined).kind, "first-line");
  assert.equal(scriptOf("/usr/bin/make", "/usr/bin/make all", "renamed"), null);
});

test("bash looks for a script in PATH too, Node adds an ending, Python takes a folder", () => {
  const names = (program: string, ...argv: string[]) => {
    const found = scriptArgument(program, "", argv, "/bin::/opt/bin");
    return found.kind === "file" ? found.names : [];
  };
  assert.deepEqual(names("/bin/bash", "bash", "x"), ["x", "/bin/x", "./x", "/opt/bin/x"]);
  assert.deepEqual(names("/bin/bash", "bash", "./x"), ["./x"]);
  assert.deepEqual(names("/usr/bin/node", "node", "app"), ["app", "app.js", "app/index.js"]);
  assert.deepEqual(names("/usr/bin/python3", "python3", "app"), ["app", "app/__main__.py"]);
});

test("whatever the arguments are, there is an answer", () => {
  const word = fc.oneof(fc.constantFrom("-", "--", "-c", "-o", "--file", "--file=", "-f", ""), fc.string());
  const program = fc.constantFrom(
    "sh",
    "bash",
    "python3",
    "perl",
    "node",
    "php",
    "lua",
    "awk",
    "busybox",
    "tclsh",
    "x",
  );
  fc.assert(
    fc.property(program, fc.array(word, { maxLength: 6 }), fc.string(), (name, argv, comm) => {
      const found = scriptArgument(`/usr/bin/${name}`, comm, argv, undefined);
      if ("names" in found) assert.ok(found.names.length > 0 && found.names.every((one) => one !== ""));
    }),
  );
});

test("the names of interpreters are whole names", () => {
  for (const { names } of INTERPRETERS) assert.ok(names.source.startsWith("^") && names.source.endsWith("$"));
});
