import type { BenignCase } from "../case.ts";
import { answers, request } from "../site.ts";

const server = `importClass(com.sun.net.httpserver.HttpServer);
importClass(com.sun.net.httpserver.HttpHandler);
function busy(seed) {
  var sum = seed;
  for (var i = 0; i < 20000; i++) sum = (sum * 31 + i) % 1000003;
  return sum;
}
var server = HttpServer.create(new java.net.InetSocketAddress("127.0.0.1", 8080), 0);
server.createContext("/", new HttpHandler({
  handle: function (exchange) {
    var parts = [];
    for (var i = 0; i < 200; i++) parts.push("part " + i);
    var body = new java.lang.String(parts.join(",") + busy(parts.length)).getBytes();
    exchange.sendResponseHeaders(200, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }
}));
server.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(4));
server.start();
`;

export const benign: BenignCase = {
  image: {
    name: "java",
    packages: ["openjdk-17-jre-headless", "rhino"],
    files: { "srv/server.js": server },
    entrypoint: [
      ...["/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "-Xmx64m", "-cp", "/usr/share/java/rhino.jar"],
      ...["org.mozilla.javascript.tools.shell.Main", "-opt", "9", "/srv/server.js"],
    ],
    ports: ["tcp/8080"],
  },
  ready: (site) => answers(site, { port: 8080 }),
  work: (site) => request(site, { count: 500, port: 8080 }),
};
