import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const entry = `#!/bin/sh
set -e
/usr/sbin/nginx -e stderr
exec /usr/sbin/php-fpm8.2 -F -y /etc/php-fpm.conf -c /etc/php.ini
`;

const nginx = `user www-data;
pid /run/nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
  access_log off;
  server {
    listen 80;
    location / {
      fastcgi_pass unix:/run/php.sock;
      fastcgi_param SCRIPT_FILENAME /srv/www/index.php;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param QUERY_STRING $query_string;
    }
  }
}
`;

const fpm = `[global]
error_log = /tmp/fpm.log
pid = /run/php.pid
process_control_timeout = 10s
[www]
user = www-data
listen = /run/php.sock
listen.mode = 0666
pm = static
pm.max_children = 3
pm.max_requests = 500
`;

const ini = `zend_extension=opcache.so
opcache.enable=1
opcache.jit=1255
opcache.jit_buffer_size=16M
pcre.jit=1
`;

const page = `<?php
function fib(int $n): int { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
$words = preg_split('/[^a-z]+/', str_repeat('one two three ', 50));
$jit = opcache_get_status(false)['jit'];
if (!$jit['on'] || $jit['buffer_size'] === $jit['buffer_free']) http_response_code(500);
echo fib(15), ' ', count($words), ' ', preg_replace('/t(.)/', '$1t', 'two three');
`;

export const benign: BenignCase = {
  image: {
    name: "php-fpm",
    packages: ["php8.2-fpm", "php8.2-opcache", "nginx-light"],
    files: {
      "usr/local/bin/entry": entry,
      "etc/nginx/nginx.conf": nginx,
      "etc/php-fpm.conf": fpm,
      "etc/php.ini": ini,
      "srv/www/index.php": page,
    },
    entrypoint: ["/usr/local/bin/entry"],
    ports: ["tcp/80"],
  },
  ready: answers,
  async work(site, round) {
    const [served] = await Promise.all([
      request(site, { count: 500 }),
      round % 3 === 0 ? site.exec("/bin/sh", "-c", "kill -USR2 $(cat /run/php.pid)") : undefined,
    ]);
    return served;
  },
};
