import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const config = `user www-data;
daemon off;
pcre_jit on;
worker_processes 2;
pid /run/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  default_type text/html;
  server {
    listen 80;
    root /srv/www;
    location ~ ^/([a-z]+)/(.*)$ { rewrite ^/[a-z]+/(.*)$ /$1 last; }
  }
}
`;

export const benign: BenignCase = {
  image: {
    name: "nginx-pcre-jit",
    packages: ["nginx-light"],
    files: { "etc/nginx/nginx.conf": config, "srv/www/index.html": "<h1>nginx</h1>\n" },
    entrypoint: ["/usr/sbin/nginx", "-e", "stderr"],
    ports: ["tcp/80"],
  },
  ready: answers,
  work: (site) => request(site, { count: 2000, path: "/again/index.html" }),
};
