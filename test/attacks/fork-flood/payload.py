#!/usr/bin/python3
from lab import *

parent = os.getpid()
hidden = os.fork()
if hidden == 0:
    memory = map_memory(PAGE, READ | WRITE | EXEC)
    ctypes.memmove(memory, CODE, len(CODE))
    assert call(memory) == 42
    stay()
say("ready", hidden=hidden)
end = time.monotonic() + 2
children = 0
while time.monotonic() < end:
    while children > 150:
        if os.wait()[0]:
            children -= 1
    if os.fork() == 0:
        os._exit(0)
    children += 1
for _ in range(children):
    os.wait()
say("done")
stay()
