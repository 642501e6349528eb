#!/usr/bin/python3
import random

from lab import *

random.seed(1)
end = time.monotonic() + 3
killed = 0
while time.monotonic() < end:
    child = os.fork()
    if child == 0:
        if random.Random(killed).random() < 0.5:
            os.execv("/usr/bin/sleep", ["sleep", "3600"])
        os.execv("/tmp/kworker", ["kworker"])
    time.sleep(random.random() / 100)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    killed += 1
assert killed > 100, killed
say("done")
stay()
