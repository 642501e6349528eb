import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Answer, Watch } from "./watch.ts";

/** Two sources that say of one image what the test tells them to. */
async function start(t: TestContext) {
  t.mock.method(console, "log", () => {});
  const says: { word: Answer["word"] } = { word: "unapproved" };
  const look = async () => new Map([["web", { word: says.word, text: says.word }]]);
  const [source, unsafe] = [
    { name: "one", look },
    { name: "other", look, isUnsafe: true },
  ];
  const watch = new Watch([source, unsafe]);
  watch.start();
  t.after(() => watch.stop());
  const say = async (word: Answer["word"]): Promise<void> => {
    says.word = word;
    await watch.until(source, "web", word);
    await watch.until(unsafe, "web", word);
  };
  return { watch, say };
}

test("to say that an image is approved for which too few have signed is a problem, once", async (t) => {
  const { watch, say } = await start(t);
  await say("unapproved");
  assert.deepEqual(watch.problems, []);
  await say("approved");
  await say("unverified");
  await say("approved");
  assert.deepEqual(watch.problems, ["one says that web is approved, for which too few have signed"]);
});

test("an approval may be held or not known, and not be lost, unless the chain was made to forget it", async (t) => {
  const { watch, say } = await start(t);
  watch.signed("web");
  for (const word of ["unapproved", "approved", "unverified", "approved"] as const) await say(word);
  assert.deepEqual(watch.problems, []);
  await say("unapproved");
  assert.deepEqual(watch.problems, ["one has lost the approval of web"]);

  const other = await start(t);
  other.watch.signed("web");
  await other.say("approved");
  other.watch.forgotten("web");
  await other.say("approved");
  await other.say("unapproved");
  assert.deepEqual(other.watch.problems, []);
});

test("a source that cannot be asked is a problem", async (t) => {
  t.mock.method(console, "log", () => {});
  const watch = new Watch([{ name: "one", look: () => Promise.reject(new Error("gone")) }]);
  watch.start();
  await watch.stop();
  assert.deepEqual(watch.problems, ["one cannot be asked: gone"]);
});
