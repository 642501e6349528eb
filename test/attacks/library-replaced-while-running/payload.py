#!/usr/bin/python3
import sys

from lab import *

path = f"/usr/lib/{platform.machine()}-linux-gnu/libm.so.6"
if sys.argv[1:] != ["loaded"]:
    # Into the container's own layer, before this very program loads it once more.
    open(path, "r+b").close()
    os.execv(__file__, [__file__, "loaded"])
target = spare_code()
start, _ = text_of("/libm.so.6")
offset = next(m[3] for m in mappings() if m[0] == start) + target - start
say("loaded")
wait_for("write")
# The kernel refuses to write to a program that runs (ETXTBSY), and to a library it does not.
with open(path, "r+b", buffering=0) as file:
    file.seek(offset)
    file.write(CODE)
assert call(target) == 42
say("done")
stay()
