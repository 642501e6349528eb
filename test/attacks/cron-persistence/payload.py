#!/usr/bin/python3
import shutil

from lab import *

HOST = "/run/web/host"
os.makedirs(f"{HOST}/etc/cron.d")
os.makedirs(f"{HOST}/usr/bin")
shutil.copyfile("/run/web/fetched", f"{HOST}/usr/bin/kworker")
os.chmod(f"{HOST}/usr/bin/kworker", 0o755)
with open(f"{HOST}/etc/cron.d/kworker", "w") as crontab:
    crontab.write("* * * * * root /usr/bin/kworker\n")
say("done")
stay()
