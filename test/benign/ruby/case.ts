import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const server = `require "digest"
require "json"
require "webrick"

raise "YJIT is off" unless RubyVM::YJIT.enabled?

def fib(n)
  n < 2 ? n : fib(n - 1) + fib(n - 2)
end

log = WEBrick::Log.new("/dev/null")
server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: 8000, Logger: log, AccessLog: [])
server.mount_proc "/" do |_request, response|
  response.body = JSON.generate({ fib: fib(15), digest: Digest::SHA256.hexdigest("a" * 100) })
end
server.start
`;

export const benign: BenignCase = {
  image: {
    name: "ruby",
    packages: ["ruby", "ruby-webrick"],
    files: { "srv/server.rb": server },
    entrypoint: ["/usr/bin/ruby", "--yjit", "/srv/server.rb"],
    ports: ["tcp/8000"],
  },
  ready: (site) => answers(site, { port: 8000 }),
  work: (site) => request(site, { count: 300, port: 8000 }),
};
