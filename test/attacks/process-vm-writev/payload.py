#!/usr/bin/python3
from lab import *


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


target = spare_code()
victim = os.fork()
if victim == 0:
    protect(target, PAGE, READ | WRITE | EXEC)
    say("ready")
    stay()
while not os.path.exists("/run/web/ready.said"):
    time.sleep(0.01)
local = Vector(ctypes.cast(ctypes.c_char_p(CODE), ctypes.c_void_p), len(CODE))
remote = Vector(target, len(CODE))
assert check(libc.process_vm_writev(victim, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)) == len(CODE)
say("done", victim=victim)
stay()
