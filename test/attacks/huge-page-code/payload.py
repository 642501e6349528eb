#!/usr/bin/python3
from lab import *

HUGE = 2 << 20
MADV_HUGEPAGE = 14
memory = (map_memory(2 * HUGE, READ | WRITE) + HUGE - 1) & -HUGE
check(libc.madvise(ctypes.c_void_p(memory), ctypes.c_size_t(HUGE), MADV_HUGEPAGE))
ctypes.memmove(memory, CODE, len(CODE))
protect(memory, HUGE, READ | EXEC)
assert call(memory) == 42
with open("/proc/self/smaps") as file:
    assert any(line.startswith("AnonHugePages:") and int(line.split()[1]) >= 2048 for line in file), "no huge page"
say("done")
stay()
