#!/usr/bin/python3
import struct

from lab import *


def slot_of(symbol):
    """Address of the program's own table entry for a function (DT_JMPREL or DT_RELA, R_X86_64_JUMP_SLOT or GLOB_DAT)."""
    with open("/proc/self/exe", "rb") as file:
        content = file.read()
    phoff = struct.unpack_from("<Q", content, 32)[0]
    headers = [struct.unpack_from("<IIQQQQQQ", content, phoff + 56 * i) for i in range(struct.unpack_from("<H", content, 56)[0])]
    place = lambda address: next(h[2] + address - h[3] for h in headers if h[0] == 1 and h[3] <= address < h[3] + h[5])
    dynamic = next(header for header in headers if header[0] == 2)
    tags = dict(struct.iter_unpack("<qQ", content[dynamic[2] : dynamic[2] + dynamic[5]]))
    base = next(m[0] for m in mappings() if m[4] == os.readlink("/proc/self/exe"))
    bias = base - next(header[3] for header in headers if header[0] == 1) // PAGE * PAGE
    for table, size in (23, 2), (7, 8):
        if table not in tags:
            continue
        start = place(tags[table])
        for offset, info, _ in struct.iter_unpack("<QQq", content[start : start + tags[size]]):
            name = place(tags[6]) + 24 * (info >> 32)
            at = place(tags[5]) + struct.unpack_from("<I", content, name)[0]
            if content[at : content.index(b"\0", at)] == symbol:
                return bias + offset
    raise LookupError(symbol)


slot = slot_of(b"getpid")
protect(slot & -PAGE, PAGE, READ | WRITE)
parent = os.getppid()
assert os.getpid() != parent
other = ctypes.cast(libc.getppid, ctypes.c_void_p).value
ctypes.memmove(slot, struct.pack("<Q", other), 8)
assert os.getpid() == parent
say("done")
stay()
