"""Runs on the host: keeps a shared writable mapping of a file and changes a byte of it on a word, unseen by the file's times."""
import mmap
import os
import sys

path = sys.argv[1]
PLACE = 4096 + 100
descriptor = os.open(path, os.O_RDWR)
window = mmap.mmap(descriptor, 8192, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
os.close(descriptor)
original = window[PLACE]


def times():
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns


# The first write after the kernel has written the page to its disk changes the file's times, the next ones do not.
window[PLACE] = original
print("touched", flush=True)
for _ in sys.stdin:
    before = times()
    window[PLACE] = original ^ 0xFF
    if times() == before:
        print("unseen", flush=True)
    else:
        window[PLACE] = original
        print("seen", flush=True)
window[PLACE] = original
