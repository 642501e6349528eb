#!/usr/bin/python3
import threading

from lab import *

SYS_EXIT = 93 if ARM else 60


def go_on():
    while "Z (zombie)" not in open(f"/proc/{os.getpid()}/status").read():
        time.sleep(0.01)
    memory = map_memory(PAGE, READ | WRITE | EXEC)
    ctypes.memmove(memory, CODE, len(CODE))
    assert call(memory) == 42
    assert open(f"/proc/{os.getpid()}/maps").read() == ""
    say("done")
    time.sleep(3600)


threading.Thread(target=go_on).start()
libc.syscall(SYS_EXIT, 0)
