"""Runs on the host: starts a program in a container's cgroup and root folder, under a number of choice, and waits."""
import ctypes
import os
import struct
import sys

SYS_CLONE3 = 435
pid, root, program, *rest = sys.argv[1:]
groups = rest[: rest.index("--")]
arguments = rest[rest.index("--") + 1 :]
libc = ctypes.CDLL(None, use_errno=True)
wanted = ctypes.c_int(int(pid))
# struct clone_args (clone(2)): exit_signal is SIGCHLD, set_tid one number
arguments_of_clone = struct.pack("<11Q", 0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
child = libc.syscall(SYS_CLONE3, arguments_of_clone, len(arguments_of_clone))
if child < 0:
    sys.exit(f"clone3: {os.strerror(ctypes.get_errno())}")
if child == 0:
    # Ends with this program, whatever ends that.
    libc.prctl(1, 9)
    for group in groups:
        with open(f"{group}/cgroup.procs", "w") as file:
            file.write(pid)
    os.chroot(root)
    os.chdir("/")
    os.execv(program, [program, *arguments])
os.waitpid(child, 0)
