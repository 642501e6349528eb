import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const start = `
{ok, _} = application:ensure_all_started(inets),
{ok, _} = inets:start(httpd, [{port, 8000}, {bind_address, {127,0,0,1}}, {server_name, "benign"},
  {server_root, "/tmp"}, {document_root, "/srv/www"}, {mime_types, [{"html", "text/html"}]}]),
Again = fun Again() -> code:purge(lists_again), {module, lists} = code:load_file(lists), timer:sleep(500), Again() end,
code:unstick_dir(code:lib_dir(stdlib, ebin)),
spawn(fun() -> code:purge(lists), Again() end),
receive stop -> ok end.
`;

export const benign: BenignCase = {
  image: {
    name: "erlang",
    packages: ["erlang-base", "erlang-inets"],
    files: { "srv/www/index.html": "<h1>Erlang</h1>\n" },
    entrypoint: ["/usr/lib/erlang/bin/erl", "-noshell", "-noinput", "-eval", start],
    ports: ["tcp/8000"],
  },
  ready: (site) => answers(site, { port: 8000, path: "/index.html" }),
  work: (site) => request(site, { count: 500, port: 8000, path: "/index.html" }),
};
