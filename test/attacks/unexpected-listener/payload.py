#!/usr/bin/python3
import socket

from lab import *

listeners = []
for family, kind, address in (
    (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0"),
    (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0"),
    (socket.AF_INET6, socket.SOCK_STREAM, "::"),
):
    one = socket.socket(family, kind)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind((address, 4444))
    if kind == socket.SOCK_STREAM:
        one.listen()
    listeners.append(one)
say("done")
stay()
