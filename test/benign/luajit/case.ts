import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const server = `local socket = require("socket")
assert(jit.status())
local server = assert(socket.bind("127.0.0.1", 8000, 64))
while true do
  local client = server:accept()
  repeat local line = client:receive() until not line or line == ""
  local sum = 0
  for i = 1, 20000 do sum = (sum * 31 + i) % 1000003 end
  client:send("HTTP/1.0 200 OK\\r\\n\\r\\n" .. sum)
  client:close()
  jit.flush()
end
`;

export const benign: BenignCase = {
  image: {
    name: "luajit",
    packages: ["luajit", "lua-socket"],
    files: { "srv/server.lua": server },
    entrypoint: ["/usr/bin/luajit", "/srv/server.lua"],
    ports: ["tcp/8000"],
  },
  ready: (site) => answers(site, { port: 8000 }),
  work: (site) => request(site, { count: 300, port: 8000 }),
};
