#!/usr/bin/python3
from lab import *

rewrite_shared("/run/web/spare.so", *spare_library("/run/web/spare.so"))
stay()
