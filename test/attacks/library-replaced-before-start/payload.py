#!/usr/bin/python3
import shutil
import sys

from lab import *

if sys.argv[1:] == ["load"]:
    spare_code()
    say("done")
    stay()
path = f"/usr/lib/{platform.machine()}-linux-gnu/libm.so.6"
shutil.copy(path, "/tmp/changed")
with open("/tmp/changed", "ab") as file:
    file.write(b"changed")
os.rename("/tmp/changed", path)
os.execv(__file__, [__file__, "load"])
