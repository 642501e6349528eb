#!/usr/bin/python3
from lab import *

memory = map_memory(PAGE, READ | WRITE)
ctypes.memmove(memory, CODE, len(CODE))
protect(memory, PAGE, READ | EXEC)
assert call(memory) == 42
say("done")
stay()
