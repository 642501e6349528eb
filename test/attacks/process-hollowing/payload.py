#!/usr/bin/python3
import struct

from lab import *

TRACEME, DETACH = 0, 17
AT_ENTRY = 9
victim = os.fork()
if victim == 0:
    check(libc.ptrace(TRACEME, 0, None, None))
    os.execv("/usr/bin/sleep", ["sleep", "0"])
os.waitpid(victim, 0)
with open(f"/proc/{victim}/auxv", "rb") as file:
    auxv = file.read()
entry = next(value for key, value in struct.iter_unpack("<QQ", auxv) if key == AT_ENTRY)
with open(f"/proc/{victim}/mem", "r+b", buffering=0) as memory:
    memory.seek(entry)
    memory.write(WAIT)
check(libc.ptrace(DETACH, victim, None, None))
time.sleep(0.2)
# Its own code would have ended at once.
assert os.waitpid(victim, os.WNOHANG) == (0, 0)
say("done", victim=victim)
stay()
