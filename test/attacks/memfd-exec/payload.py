#!/usr/bin/python3
from lab import *

fd = os.memfd_create("kworker")
with open("/usr/bin/sleep", "rb") as program:
    os.write(fd, program.read())
say("done")
os.execve(fd, ["kworker", "3600"], {})
