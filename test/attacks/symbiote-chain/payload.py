#!/usr/bin/python3
import socket
import subprocess

from lab import *

me = str(os.getpid())
if os.environ.get("HIDDEN_PROCESS") != me:
    os.execve(__file__, [__file__], {**os.environ, "HIDDEN_PROCESS": me})
listener = socket.socket()
listener.bind(("0.0.0.0", 4444))
listener.listen()


def seen(environment):
    """What of file, process and port the container's own tools show."""

    def run(*command):
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    files, processes = run("/usr/bin/ls", "/var/tmp").split(), run("/usr/bin/ls", "/proc").split()
    ports = run("/usr/bin/python3", "-c", "print(open('/proc/net/tcp').read())")
    return "libhide.so" in files, me in processes, ":115C " in ports


assert seen({}) == (True, True, True), seen({})
assert seen(dict(os.environ)) == (False, False, False), seen(dict(os.environ))
say("done")
stay()
