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
fd = os.open(path, os.O_RDWR)
window = map_memory(PAGE, READ | WRITE, SHARED, fd, offset=offset)
os.close(fd)
ctypes.memmove(window, ctypes.string_at(target, PAGE), PAGE)
say("loaded")
wait_for("write")
times = os.stat(path)
ctypes.memmove(window, CODE, len(CODE))
assert call(target) == 42
assert (times.st_mtime_ns, times.st_ctime_ns) == (os.stat(path).st_mtime_ns, os.stat(path).st_ctime_ns)
say("done")
stay()
