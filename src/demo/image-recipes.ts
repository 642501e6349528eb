/** How an image of the demo is made. */
export interface ImageRecipe {
  readonly name: string;
  readonly folder: string;
  /** Debian packages; what they depend on comes along. */
  readonly packages: readonly string[];
  /** The packaged program that is copied to the first word of `entrypoint`. */
  readonly program: string;
  readonly entrypoint: readonly string[];
  readonly files: Readonly<Record<string, string>>;
}

// The middle two spare the image an init system, which others of the packages would otherwise depend on.
const base = ["dash", "coreutils", "usr-is-merged", "systemd-standalone-tmpfiles"];

const users = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/srv/www:/usr/sbin/nologin\n",
  "etc/group": "root:x:0:\nwww-data:x:33:\n",
};

const nginxConfig = `user www-data;
daemon off;
worker_processes 2;
pid /tmp/server.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  default_type text/html;
  server { listen unix:/run/web/http.sock; root /srv/www; }
}
`;

const lighttpdConfig = `server.bind = "/run/web/http.sock"
server.document-root = "/srv/www"
server.username = "www-data"
server.groupname = "www-data"
index-file.names = ( "index.html" )
mimetype.assign = ( "" => "text/html" )
`;

/** Both images have a program at /usr/local/bin/server, and not the same one. */
export const recipes = {
  web: {
    name: "pims-demo/web",
    folder: "web",
    packages: ["nginx", ...base],
    program: "usr/sbin/nginx",
    entrypoint: ["/usr/local/bin/server", "-e", "stderr", "-c", "/etc/server.conf"],
    files: { ...users, "etc/server.conf": nginxConfig, "srv/www/index.html": "<h1>pims-demo/web</h1>\n" },
  },
  app: {
    name: "pims-demo/app",
    folder: "app",
    packages: ["lighttpd", ...base],
    program: "usr/sbin/lighttpd",
    entrypoint: ["/usr/local/bin/server", "-D", "-f", "/etc/server.conf"],
    files: { ...users, "etc/server.conf": lighttpdConfig, "srv/www/index.html": "<h1>pims-demo/app</h1>\n" },
  },
  attack: { packages: ["netcat-traditional", "libeatmydata1"], library: "libeatmydata.so.1" },
} satisfies { web: ImageRecipe; app: ImageRecipe; attack: { packages: string[]; library: string } };
