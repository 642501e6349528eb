#!/usr/bin/python3
from lab import *

MAP_HUGETLB = 0x40000
memory = map_memory(2 << 20, READ | WRITE | EXEC, PRIVATE | ANONYMOUS | MAP_HUGETLB)
ctypes.memmove(memory, CODE, len(CODE))
assert call(memory) == 42
say("done")
stay()
