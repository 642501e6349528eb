import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const modules = ["mpm_event", "authz_core", "dir", "mime", "deflate", "filter", "rewrite", "alias", "autoindex"];
const config = `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`).join("")}
ServerName localhost
ServerRoot /etc/apache2
DefaultRuntimeDir /tmp
PidFile /tmp/apache2.pid
ErrorLog /tmp/error.log
Listen 80
User www-data
Group www-data
StartServers 2
TypesConfig /dev/null
DocumentRoot /srv/www
DirectoryIndex index.html
AddOutputFilterByType DEFLATE text/html
RewriteEngine on
RewriteRule "^/again/([a-z]+)$" "/$1.html" [PT]
<Directory /srv/www>
  Require all granted
</Directory>
`;

export const benign: BenignCase = {
  image: {
    name: "apache",
    packages: ["apache2-bin"],
    files: { "etc/apache2/apache2.conf": config, "srv/www/index.html": "<h1>Apache</h1>\n".repeat(100) },
    entrypoint: ["/usr/sbin/apache2", "-D", "FOREGROUND"],
    ports: ["tcp/80"],
  },
  ready: answers,
  async work(site, round) {
    const [served] = await Promise.all([
      request(site, { count: 1000, path: "/again/index" }),
      round % 3 === 0 ? site.exec("/usr/sbin/apache2", "-k", "graceful") : undefined,
    ]);
    return served;
  },
};
