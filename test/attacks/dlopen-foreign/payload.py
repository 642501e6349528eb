#!/usr/bin/python3
from lab import *

ctypes.CDLL("/var/tmp/libnss_cache.so.2")
say("done")
stay()
