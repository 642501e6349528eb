import type { BenignCase } from "../case.ts";
import { until } from "../site.ts";

const entry = `#!/bin/sh
set -e
mkdir -p /var/lib/mysql /run/mysqld
chown mysql /var/lib/mysql /run/mysqld
mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db >/tmp/install.log
exec /usr/sbin/mariadbd --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --bind-address=127.0.0.1
`;

export const benign: BenignCase = {
  image: {
    name: "mariadb",
    packages: ["mariadb-server", "sed", "hostname"],
    files: { "usr/local/bin/entry": entry },
    entrypoint: ["/usr/local/bin/entry"],
    ports: ["tcp/3306"],
  },
  ready: (site) => until("an answer of the database", () => site.exec("/usr/bin/mariadb", "-e", "select 1")),
  async work(site) {
    const queries = 400;
    await site.exec(
      "/usr/bin/mariadb-slap",
      ...["--auto-generate-sql", "--concurrency=4", "--number-of-queries", `${queries}`],
    );
    const matched = await site.exec(
      "/usr/bin/mariadb",
      ...["-BNe", "select count(*) from mysql.help_topic where name rlike '^[A-Z]+( [A-Z]+)*$'"],
    );
    if (!(Number(matched) >= 0)) throw new Error(`the query returned ${matched}`);
    return queries + 1;
  },
};
