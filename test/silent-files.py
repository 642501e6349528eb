"""Runs on the host: a file system at a folder of a process, with one program in it. It answers until the program is executed, then never again; whatever is asked but what the program is, or for as long as it runs."""
import ctypes
import errno
import os
import struct
import sys
import threading

pid, folder, program, silent = sys.argv[1:]
CLONE_NEWNS = 0x20000
# fuse.h: operations, and errors as negative numbers.
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 36, 42
ENOENT, ENOSYS = -2, -38
ROOT, FILE = 1, 2
libc = ctypes.CDLL(None, use_errno=True)
with open(program, "rb") as file:
    content = file.read()
device = os.open("/dev/fuse", os.O_RDWR)
mounter = os.fork()
if mounter == 0:
    os.setgroups([])
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    if libc.setns(namespace, CLONE_NEWNS) < 0:
        os._exit(1)
    os.makedirs(folder, exist_ok=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    os._exit(0 if libc.mount(b"silent", folder.encode(), b"fuse", 0, options) == 0 else 1)
if os.waitpid(mounter, 0)[1] != 0:
    sys.exit("the file system could not be mounted")
print("mounted", flush=True)
# Whoever started this is gone when its end of the pipe is closed.
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def attributes(node):
    mode, links, size = (0o100755, 1, len(content)) if node == FILE else (0o40755, 2, 0)
    # struct fuse_attr: inode, size, blocks, three times, their nanoseconds, mode, links, user, group, device, block size, flags
    return struct.pack("<6Q10I", node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def answer(unique, error, body=b""):
    os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def is_executed():
    """Read only to be executed: the kernel has asked for the first page and the program's one segment is in memory."""
    return reads > 0


reads = 0
while True:
    try:
        request = os.read(device, 1 << 18)
    except OSError as error:
        # It is mounted no longer.
        sys.exit(None if error.errno == errno.ENODEV else error)
    _, operation, unique, node = struct.unpack_from("<IIQQ", request)
    body = request[40:]
    if operation in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    if operation == INIT:
        # struct fuse_init_out of version 7.31
        answer(unique, 0, struct.pack("<4IHHIIHH8I", 7, 31, 0, 0, 8, 8, 1 << 16, 1, 16, 0, *[0] * 8))
    elif silent == "to who reads" and operation == READ:
        continue
    elif silent == "when executed" and is_executed() and operation in (LOOKUP, GETATTR, OPEN, READ):
        continue
    elif operation == LOOKUP:
        if node == ROOT and body.rstrip(b"\0") == b"kworker":
            # Valid for no time: every look asks.
            answer(unique, 0, struct.pack("<QQQQII", FILE, 0, 0, 0, 0, 0) + attributes(FILE))
        else:
            answer(unique, ENOENT)
    elif operation == GETATTR:
        answer(unique, 0, struct.pack("<QII", 0, 0, 0) + attributes(node))
    elif operation == STATFS:
        # struct fuse_kstatfs: blocks and files that there are and that are free, block size, longest name, fragment size
        answer(unique, 0, struct.pack("<5Q10I", 1, 0, 0, 1, 0, 4096, 255, 4096, *[0] * 7))
    elif operation in (OPEN, OPENDIR):
        answer(unique, 0, struct.pack("<QII", 1, 0, 0))
    elif operation == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        answer(unique, 0, content[offset : offset + size])
        if offset + size >= len(content):
            reads += 1
    elif operation in (RELEASE, FLUSH):
        answer(unique, 0)
    else:
        answer(unique, ENOSYS)
