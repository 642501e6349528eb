#!/usr/bin/python3
from lab import *

target = spare_code()
before = ctypes.string_at(target, PAGE)
with open(next(m[4] for m in mappings() if m[4].endswith("/libc.so.6")), "rb") as file:
    map_memory(PAGE, READ | EXEC, PRIVATE, file.fileno(), at=target, offset=next(m[3] for m in mappings() if m[4].endswith("/libc.so.6") and m[2] == "r-xp"))
assert ctypes.string_at(target, PAGE) != before
say("done")
stay()
