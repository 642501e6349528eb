#!/usr/bin/python3
import os
import sys

import lab

NEWNS = 0x00020000

# Waits until the driver has made it one of the container; afterwards it does not see /run/web any more.
lab.wait_for("leave")
lab.check(lab.libc.setns(int(sys.argv[1]), NEWNS))
lab.stay()
