#!/usr/bin/python3
from lab import *

victim = start_victim()
start, _ = text_of("/sleep", victim)
with open(f"/proc/{victim}/mem", "r+b", buffering=0) as memory:
    memory.seek(start)
    memory.write(WAIT)
    memory.seek(start)
    assert memory.read(len(WAIT)) == WAIT
say("done", victim=victim)
stay()
