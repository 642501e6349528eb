import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const config = `user www-data;
daemon off;
worker_processes 2;
pid /run/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  gzip on;
  default_type text/html;
  server {
    listen 80;
    root /srv/www;
    location ~ ^/again/(.*)$ { rewrite ^/again/(.*)$ /$1 last; }
  }
}
`;

export const benign: BenignCase = {
  quick: true,
  image: {
    name: "nginx",
    packages: ["nginx-light"],
    files: { "etc/nginx/nginx.conf": config, "srv/www/index.html": "<h1>nginx</h1>\n".repeat(100) },
    entrypoint: ["/usr/sbin/nginx", "-e", "stderr"],
    ports: ["tcp/80"],
  },
  ready: answers,
  async work(site) {
    const [served] = await Promise.all([
      request(site, { count: 2000, path: "/again/index.html" }),
      site.exec("/usr/sbin/nginx", "-e", "stderr", "-s", "reload"),
    ]);
    return served;
  },
};
