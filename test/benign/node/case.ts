import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

// (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
const wasm = "AGFzbQEAAAABBwFgAn9/AX8DAgEABwcBA2FkZAAACgkBBwAgACABags=";

const server = `const { createServer } = require("node:http");
const { createHash } = require("node:crypto");
const { execFile } = require("node:child_process");
const { Worker, isMainThread, parentPort } = require("node:worker_threads");

function busy(seed) {
  let sum = seed;
  for (let i = 0; i < 20000; i++) sum = (sum * 31 + i) % 1000003;
  return createHash("sha256").update(String(sum)).digest("hex");
}

if (!isMainThread) setInterval(() => parentPort.postMessage(busy(Date.now())), 20);
else {
  const worker = new Worker(__filename);
  let last = "";
  worker.on("message", (text) => void (last = text));
  setInterval(() => execFile(process.execPath, ["-p", "1 + 1"], () => {}), 1000);
  const module = new WebAssembly.Module(Buffer.from("${wasm}", "base64"));
  const { add } = new WebAssembly.Instance(module).exports;
  let count = 0;
  createServer((request, response) => {
    count = add(count, 1);
    const check = new Function("a", "return a + " + (count % 50))(count);
    response.end(JSON.stringify({ count, check, last, hash: busy(count) }));
  }).listen(8080, "127.0.0.1");
}
`;

export const benign: BenignCase = {
  image: {
    name: "node",
    packages: ["libstdc++6", "libatomic1"],
    programs: { "usr/local/bin/node": process.execPath },
    files: { "srv/server.js": server },
    entrypoint: ["/usr/local/bin/node", "/srv/server.js"],
    ports: ["tcp/8080"],
  },
  ready: (site) => answers(site, { port: 8080 }),
  work: (site) => request(site, { count: 1000, port: 8080, keepAlive: true }),
};
