#!/usr/bin/python3
from lab import *

target = spare_code()
original = ctypes.string_at(target, len(CODE))
protect(target, PAGE, READ | WRITE | EXEC)
ctypes.memmove(target, CODE, len(CODE))
assert call(target) == 42
ctypes.memmove(target, original, len(CODE))
protect(target, PAGE, READ | EXEC)
say("done")
stay()
