import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { BenignCase } from "../case.ts";
import { until } from "../site.ts";

const program = `import ctypes, time

libc = ctypes.CDLL("libc.so.6")
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
while True:
    numbers = (ctypes.c_int * 4)(5, 3, 9, 1)
    libc.qsort(numbers, 4, ctypes.sizeof(ctypes.c_int), COMPARE(lambda a, b: a[0] - b[0]))
    assert list(numbers) == [1, 3, 5, 9]
    with open("/run/web/sorted", "a") as sorted:
        sorted.write(".")
    time.sleep(0.01)
`;

export const benign: BenignCase = {
  image: {
    name: "python-callbacks",
    packages: ["python3"],
    files: { "srv/sort.py": program },
    entrypoint: ["/usr/bin/python3", "/srv/sort.py"],
  },
  ready: (site) => until("the first sort", () => stat(join(site.volume, "sorted"))),
  async work({ volume }) {
    const { size: before } = await stat(join(volume, "sorted"));
    await until("another sort", async () => {
      if ((await stat(join(volume, "sorted"))).size === before) throw new Error("nothing was sorted");
    });
    return (await stat(join(volume, "sorted"))).size - before;
  },
};
