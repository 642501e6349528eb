#!/usr/bin/python3
from lab import *

ctypes.CDLL("libm.so.6")
RETURN = CODE[4:8] if ARM else b"\xc3"
start, end = next((m[0], m[1]) for m in mappings() if m[4].endswith("/libm.so.6") and m[2] == "r--p" and m[3] > 0)
gadget = start + ctypes.string_at(start, end - start).index(RETURN)
if ARM:
    assert gadget % 4 == 0
protect(start, end - start, READ | EXEC)
call(gadget)
say("done")
stay()
