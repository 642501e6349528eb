import type { BenignCase } from "../case.ts";
import { until } from "../site.ts";

const loop = `#!/bin/sh
/usr/sbin/cron
while :; do
  date | md5sum | cut -c 1-8 >>/tmp/loop
  seq 1 200 | sort -rn | head -n 3 | tr '\\n' ' ' >>/tmp/loop
  sleep 0.2
done
`;

const job = `#!/bin/sh
. /etc/job.conf
echo "$WORD $(id -u) $(cat /etc/hosts | wc -l)" >>/tmp/jobs
`;

const pam = `auth required pam_permit.so
account required pam_permit.so
password required pam_permit.so
session required pam_permit.so
`;

export const benign: BenignCase = {
  image: {
    name: "shell-cron",
    packages: ["cron"],
    files: {
      "usr/local/bin/loop": loop,
      "usr/local/bin/job": job,
      "etc/job.conf": "WORD=done\n",
      "etc/pam.d/cron": pam,
      "etc/pam.d/other": pam,
      "etc/crontab":
        "@reboot root /usr/local/bin/job\n* * * * * www-data echo by cron >/dev/null; /bin/sh /usr/local/bin/job\n",
      "var/spool/cron/crontabs/README": "none\n",
    },
    entrypoint: ["/usr/local/bin/loop"],
  },
  ready: (site) => until("a job of cron", () => site.exec("/usr/bin/test", "-s", "/tmp/jobs")),
  async work(site) {
    const before = Number(await site.exec("/bin/sh", "-c", "wc -l </tmp/loop"));
    await until("the loop's next line", () => site.exec("/bin/sh", "-c", `test $(wc -l </tmp/loop) -gt ${before}`));
    return Number(
      await site.exec("/bin/sh", "-c", "for n in 1 2 3 4 5; do cat /etc/hosts >/dev/null || exit 1; done; echo 5"),
    );
  },
};
