import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const config = `global
  maxconn 200
  stats socket /tmp/haproxy.sock mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend front
  bind 127.0.0.1:80
  http-request return status 200 content-type text/plain string "plain" if { path_reg ^/[a-z]+/[0-9]+$ }
  default_backend back
backend back
  server self 127.0.0.1:81
frontend inner
  bind 127.0.0.1:81
  http-request set-header X-Path %[path,regsub("/+","/",g)]
  http-request return status 200 content-type text/plain string "inner"
`;

export const benign: BenignCase = {
  image: {
    name: "haproxy",
    packages: ["haproxy"],
    files: { "etc/haproxy/haproxy.cfg": config },
    entrypoint: ["/usr/sbin/haproxy", "-W", "-f", "/etc/haproxy/haproxy.cfg"],
    ports: ["tcp/80"],
  },
  ready: answers,
  async work(site, round) {
    if (round % 3 === 0) process.kill(await site.pid(), "SIGUSR2");
    return (await request(site, { count: 1000 })) + (await request(site, { count: 1000, path: "/page/17" }));
  },
};
