#!/usr/bin/python3
from lab import *

with open("/tmp/sparse", "w+b") as file:
    file.truncate(10 << 30)
    map_memory(PAGE, READ | EXEC, PRIVATE, file.fileno())
say("done")
stay()
