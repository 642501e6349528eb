import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const server = `import ctypes, decimal, hashlib, json, re, sqlite3, ssl, subprocess, zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pool

libc = ctypes.CDLL("libc.so.6")


def work(seed):
    data = json.dumps([seed * n for n in range(200)]).encode()
    database = sqlite3.connect(":memory:")
    database.execute("create table t (n integer)")
    database.executemany("insert into t values (?)", [(n,) for n in range(50)])
    total = database.execute("select sum(n) from t").fetchone()[0]
    return hashlib.sha256(zlib.compress(data)).hexdigest() + str(total) + str(decimal.Decimal(seed) / 7)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        assert libc.abs(-5) == 5
        if self.path == "/child":
            subprocess.run(["/usr/bin/python3", "-c", "import random; print(random.random())"], check=True)
        body = (work(7) + pool.apply(work, (11,)) + re.sub("a+", "b", "caat")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    pool = Pool(2)
    ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
`;

export const benign: BenignCase = {
  image: {
    name: "python",
    packages: ["python3"],
    files: { "srv/app/server.py": server },
    entrypoint: ["/usr/bin/python3", "/srv/app/server.py"],
    ports: ["tcp/8000"],
  },
  ready: (site) => answers(site, { port: 8000 }),
  async work(site) {
    const served = await request(site, { count: 200, port: 8000 });
    return served + (await request(site, { count: 2, port: 8000, path: "/child" }));
  },
};
