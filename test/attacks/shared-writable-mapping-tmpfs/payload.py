#!/usr/bin/python3
from lab import *

rewrite_shared("/dev/spare.so", *spare_library("/dev/spare.so"))
stay()
