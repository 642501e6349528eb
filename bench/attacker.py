"""Carries out one attack on itself or as another program, after a delay. Says first which process it is and when it begins (nanoseconds of CLOCK_MONOTONIC)."""
import ctypes
import json
import mmap
import os
import shutil
import socket
import sys
import time

attack, delay, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
READ, WRITE, EXEC, PRIVATE, ANONYMOUS, PAGE = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC, 0x02, 0x20, 4096
libc = ctypes.CDLL(None, use_errno=True)
libm = ctypes.CDLL("libm.so.6")
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def of_libm(permissions):
    """Start of the last mapping of the mathematics library with these permissions."""
    with open("/proc/self/maps") as file:
        lines = [line.split() for line in file]
    return [int(line[0].split("-")[0], 16) for line in lines if line[1] == permissions and line[-1].endswith("/libm.so.6")][-1]


def begin():
    print(json.dumps({"pid": os.getpid(), "start": str(time.monotonic_ns())}), flush=True)


if attack in ("rewrite", "shared"):
    # The library is known before anything happens to it.
    ctypes.CDLL(path)
text, data = of_libm("r-xp"), of_libm("r--p")
program = shutil.which("sleep")
time.sleep(delay)
begin()
if attack == "anonymous":
    assert libc.mmap(None, PAGE, READ | WRITE | EXEC, PRIVATE | ANONYMOUS, -1, 0) != 2**64 - 1
elif attack == "mprotect":
    assert libc.mprotect(text, PAGE, READ | WRITE | EXEC) == 0
    ctypes.memmove(text, b"PIMS WAS HERE :)", 16)
    assert libc.mprotect(text, PAGE, READ | EXEC) == 0
elif attack == "place":
    assert libc.mprotect(data, PAGE, READ | EXEC) == 0
elif attack == "listen":
    server = socket.create_server(("127.0.0.1", int(path.rsplit("/", 1)[1])))
elif attack == "rewrite":
    with open(path, "ab") as file:
        file.write(b"rewritten")
elif attack == "shared":
    with open(path, "r+b") as file:
        window = mmap.mmap(file.fileno(), PAGE, mmap.MAP_SHARED, READ | WRITE)
elif attack == "dlopen":
    ctypes.CDLL(path)
elif attack == "memfd":
    fd = os.memfd_create("kworker")
    with open(program, "rb") as file:
        os.write(fd, file.read())
    os.execve(fd, ["kworker", "60"], {})
elif attack == "deleted":
    shutil.copy(program, path)
    os.chmod(path, 0o755)
    if os.fork() == 0:
        # Once its parent runs the program.
        while os.path.basename(os.readlink(f"/proc/{os.getppid()}/exe")) != os.path.basename(path):
            time.sleep(0.0005)
        os.unlink(path)
        os._exit(0)
    os.execv(path, ["kworker", "60"])
time.sleep(60)
