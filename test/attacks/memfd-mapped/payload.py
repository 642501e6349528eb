#!/usr/bin/python3
from lab import *

fd = os.memfd_create("plugin")
with open(next(m[4] for m in mappings() if "/libc.so.6" in m[4]), "rb") as library:
    content = library.read()
os.write(fd, content)
map_memory(len(content), READ | EXEC, PRIVATE, fd)
say("done")
stay()
