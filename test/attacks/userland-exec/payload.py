#!/usr/bin/python3
import struct

from lab import *

# sp = first argument, jump to the second
JUMP = bytes.fromhex("1f000091020080d220001fd6") if ARM else bytes.fromhex("4889fc31d2ffe6")


def load(path):
    """Copies a position-independent ELF file's segments into anonymous memory. Returns where what is."""
    with open(path, "rb") as file:
        content = file.read()
    entry, phoff = struct.unpack_from("<QQ", content, 24)
    count = struct.unpack_from("<H", content, 56)[0]
    headers = [struct.unpack_from("<IIQQQQQQ", content, phoff + 56 * index) for index in range(count)]
    loads = [header for header in headers if header[0] == 1]
    length = (loads[-1][3] + loads[-1][6] + PAGE - 1) & -PAGE
    base = map_memory(length, READ | WRITE)
    for _, _, offset, address, _, file_size, _, _ in loads:
        ctypes.memmove(base + address, content[offset : offset + file_size], file_size)
    for _, flags, _, address, _, _, size, _ in loads:
        if flags & 1:
            start = (base + address) & -PAGE
            protect(start, base + address + size - start, READ | EXEC)
    return base, base + entry, base + phoff, count


def start(path, arguments):
    base, entry, headers, count = load(path)
    interpreter, first, _, _ = load(os.path.realpath("/lib/ld-linux-aarch64.so.1" if ARM else "/lib64/ld-linux-x86-64.so.2"))
    size = 256 * PAGE
    top = map_memory(size, READ | WRITE) + size
    strings = []
    for argument in arguments:
        data = argument.encode() + b"\0"
        top -= len(data)
        ctypes.memmove(top, data, len(data))
        strings.append(top)
    top = (top - 16) & -16
    ctypes.memmove(top, os.urandom(16), 16)
    # AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_ENTRY, AT_SECURE, AT_RANDOM, AT_NULL (getauxval(3))
    vector = [3, headers, 4, 56, 5, count, 6, PAGE, 7, interpreter, 9, entry, 23, 0, 25, top, 0, 0]
    words = [len(strings), *strings, 0, 0, *vector]
    stack = (top - 8 * len(words)) & -16
    ctypes.memmove(stack, struct.pack(f"<{len(words)}Q", *words), 8 * len(words))
    jump = map_memory(PAGE, READ | WRITE)
    ctypes.memmove(jump, JUMP, len(JUMP))
    protect(jump, PAGE, READ | EXEC)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(jump)(stack, first)


start("/usr/bin/dash", ["dash", "-c", 'echo "{\\"pid\\": $$}" >/run/web/done.said; read forever </run/web/forever'])
