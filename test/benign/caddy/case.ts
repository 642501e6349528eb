import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const config = `{
  auto_https off
}
http://127.0.0.1:80 {
  root * /srv/www
  encode gzip
  templates
  file_server
}
`;

export const benign: BenignCase = {
  image: {
    name: "caddy",
    packages: ["caddy"],
    files: { "etc/caddy/Caddyfile": config, "srv/www/index.html": '<h1>{{now | date "2006"}}</h1>\n' },
    entrypoint: ["/usr/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile"],
    ports: ["tcp/80", "tcp/2019"],
  },
  ready: answers,
  async work(site, round) {
    // Before the requests and not beside them: it cuts connections that are open.
    if (round % 3 === 0) await site.exec("/usr/bin/caddy", "reload", "--force", "--config", "/etc/caddy/Caddyfile");
    return request(site, { count: 1000 });
  },
};
