import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const server = `use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use POSIX ();

my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 8000, Listen => 64, ReuseAddr => 1) or die;

sub serve {
    for (1 .. 20) {
        my $client = $server->accept or next;
        while (my $line = <$client>) { last if $line =~ /^\\r?$/ }
        my $sum = eval 'my $n = 0; $n += $_ * 3 for 1 .. 500; $n';
        my $date = \`date\`;
        my $body = sha256_hex($sum . POSIX::floor(3.7)) . $date;
        print $client "HTTP/1.0 200 OK\\r\\nContent-Length: " . length($body) . "\\r\\n\\r\\n$body";
        close $client;
    }
    exit 0;
}

my $children = 0;
while (1) {
    while ($children < 3) {
        my $pid = fork;
        die unless defined $pid;
        serve() if $pid == 0;
        $children++;
    }
    $children-- if wait > 0;
}
`;

export const benign: BenignCase = {
  image: {
    name: "perl",
    packages: ["perl"],
    files: { "srv/server.pl": server },
    entrypoint: ["/usr/bin/perl", "/srv/server.pl"],
    ports: ["tcp/8000"],
  },
  ready: (site) => answers(site, { port: 8000 }),
  work: (site) => request(site, { count: 200, port: 8000 }),
};
