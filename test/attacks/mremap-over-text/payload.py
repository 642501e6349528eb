#!/usr/bin/python3
from lab import *

MAYMOVE_FIXED = 3
target = spare_code()
memory = map_memory(PAGE, READ | WRITE)
ctypes.memmove(memory, CODE, len(CODE))
protect(memory, PAGE, READ | EXEC)
assert check(libc.mremap(memory, PAGE, PAGE, MAYMOVE_FIXED, target)) == target
assert call(target) == 42
say("done")
stay()
