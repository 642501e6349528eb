import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Hex } from "viem";
import { waitFor } from "./clique-network.ts";
import type { GethNode } from "./geth-node.ts";
import { Load } from "./load.ts";
import { DEPTH, IMAGES, type Site } from "./site.ts";
import type { Tally } from "./tally.ts";

/** What happens to the network, in this order: each begins where the one before has ended. */
export async function runScenarios(site: Site, tally: Tally): Promise<void> {
  const { network, watch, most, few, two, chain, all, alone, careful } = site;
  const [one, second, three, four, five] = network.nodes as [GethNode, GethNode, GethNode, GethNode, GethNode];
  const load = new Load(site);
  const step = (text: string) => watch.say("----", text);
  const ids = new Map<string, Hex>();
  const everybody = (image: string, word: "approved" | "unapproved", text = /./) =>
    Promise.all(careful.map((source) => watch.until(source, image, word, text)));

  await tally.check(
    "what two of the publishers have signed is approved for everybody, what one has for nobody",
    async () => {
      step("publishing");
      const id = await site.propose("web");
      await site.approve("web", id);
      ids.set("half", await site.propose("half"));
      ids.set("minor", await site.propose("minor"));
      ids.set("again", await site.propose("again"));
      await everybody("web", "approved");
      await everybody("half", "unapproved", /baseline-unapproved|proposed/);
      load.start();
    },
  );

  await tally.check(
    "a signer is killed: the chain goes on, its endpoint is named, and it catches up when it is back",
    async () => {
      step("kill -9 of node3");
      const { number } = await one.head();
      await three.kill();
      await waitFor("five blocks more", async () => (await one.head()).number >= number + 5);
      assert.equal(watch.last(most, "web")?.word, "approved");
      await Promise.all(
        [most, few].map((verifier) =>
          waitFor(`${verifier.name} names node3`, async () =>
            /does not answer/.test(`${await verifier.faultOf(three.url)}`),
          ),
        ),
      );
      step("node3 starts again");
      await network.restart(three);
      await network.agree(number + 6);
      await Promise.all(
        [most, few].map((verifier) =>
          waitFor(`${verifier.name} takes node3 back`, async () => (await verifier.faultOf(three.url)) === null),
        ),
      );
      step("node3 counts again");
    },
  );

  await tally.check(
    "the network is cut in two: what the smaller side has alone nobody believes, what the larger approves stands",
    async () => {
      step("node4, node5 and two of the verifiers are cut off");
      const apart = [four, five, few.host, two.host, chain.host];
      // They make no block until they have what goes into it: they are two of five, and each makes one only.
      await network.pause([four, five]);
      await network.rested([four, five]);
      network.cut(apart);
      // Signed on the smaller side; its signer signs something else on the other meanwhile, by the same nonce.
      const minor = site.signApart(ids.get("minor")!, 1, four);
      const again = site.signApart(ids.get("again")!, 4, four);
      const undone = assert.rejects(minor, { code: "ledger-unreachable" });
      again.catch(() => {});
      await waitFor("both signatures on the smaller side", async () => {
        const signers = [site.publishers[1]!, site.publishers[4]!];
        const waiting = [four, five].flatMap((node) => signers.map(({ address }) => node.isWaiting(address)));
        return (await Promise.all(waiting)).every((isWaiting) => isWaiting);
      });
      await network.resume([four, five]);
      await sleep(1500);
      const late = await site.propose("late");
      await site.approve("late", late);
      await Promise.all([most, all].map((source) => watch.until(source, "late", "approved")));
      await watch.until(two, "half", "unverified", /older than 'ledger.maxAgeMs' allows/);
      await watch.until(few, "half", "unverified", /no 3 of the ledger's 5 endpoints agree/);
      await watch.until(chain, "half", "unverified");
      for (const source of [few, two, chain])
        assert.equal(watch.last(source, "web")?.word, "approved", "what was approved holds for a while");
      const { number } = await five.head();
      await sleep(3000);
      assert.equal((await five.head()).number, number, "two of five signers make no chain");
      step(`healed; the smaller side stands at block ${number}, the other at ${(await one.head()).number}`);
      watch.signed("again");
      network.heal(apart);
      await network.agree(number + 4);
      await everybody("late", "approved");
      await again;
      await everybody("again", "approved");
      await undone;
      await everybody("minor", "unapproved");
    },
  );

  await tally.check(
    "neither side has most signers: no block, nothing new, then nothing at all, until it is healed",
    async () => {
      await load.stop();
      step("node5 is killed, node3 and node4 are cut off from node1 and node2");
      const id = await site.propose("shallow");
      await five.kill();
      const apart = [three, four, few.host, two.host, chain.host];
      network.cut(apart);
      await sleep(5000);
      const heads = await Promise.all([one, three].map((node) => node.head()));
      for (const source of careful) await watch.until(source, "half", "unverified");
      assert.equal(watch.last(most, "web")?.word, "approved", "it holds");
      for (const source of [most, few, two, chain]) await watch.until(source, "web", "unverified", /ledger-unverified/);
      const later = await Promise.all([one, three].map((node) => node.head()));
      assert.deepEqual(later, heads, "no side makes a block");
      step("healed, and node5 starts again");
      network.heal(apart);
      await network.restart(five);
      await network.agree(Math.max(...heads.map(({ number }) => number)) + 4);
      await everybody("web", "approved");
      ids.set("shallow", id);
    },
  );

  await tally.check("signers vote one of them out and in again: whoever follows the chain follows that", async () => {
    step("node2 is voted out");
    await network.vote(second.account, false, [one, three, four]);
    const { number } = await one.head();
    step(`by block ${number} it signs no more`);
    const id = await site.propose("voted");
    await site.approve("voted", id);
    await everybody("voted", "approved");
    assert.ok((await one.head()).number > number + 8, "blocks of four signers");
    await network.vote(second.account, true, [one, three, four]);
    step("node2 is voted in again");
    await network.agree((await one.head()).number + 4);
  });

  await tally.check(
    "a reorganisation of fewer blocks than the depth: what was approved stays, what was sent is sent again",
    async () => {
      const { number } = await one.head();
      step("a signature is given");
      const sent = site.approve("shallow", ids.get("shallow")!);
      await waitFor("two blocks more", async () => (await one.head()).number >= number + 2);
      step(`the chain is taken back from block ${await network.takeBack(number)} to ${number}`);
      await sent;
      await everybody("shallow", "approved");
      assert.deepEqual(await load.missing(), []);
    },
  );

  await tally.check(
    "a reorganisation of more blocks than the depth: it is said, and what was approved holds until the chain speaks again",
    async () => {
      const id = await site.propose("deep");
      const { number } = await one.head();
      await site.approve("deep", id);
      await everybody("deep", "approved");
      watch.forgotten("deep");
      const from = await network.takeBack(number);
      step(`the chain is taken back from block ${from} to ${number}`);
      assert.ok(from - number > DEPTH);
      await watch.until(
        most,
        "half",
        "unverified",
        /the ledger is back at block \d+, after block \d+|has another block/,
      );
      for (const source of careful) assert.equal(watch.last(source, "deep")?.word, "approved", "it holds");
      const agreed = careful.filter((source) => source !== chain);
      await Promise.all(agreed.map((source) => watch.until(source, "deep", "unapproved")));
      step("the signature is given once more");
      await site.approve("deep", id);
      await Promise.all(agreed.map((source) => watch.until(source, "deep", "approved")));
      // More than half of the signers had built on a block that is gone: an operator has to find out why.
      await watch.until(chain, "web", "unverified", /settled/);
    },
  );

  await tally.check("at no time was anything said that was not so", async () => {
    await watch.stop();
    const { length } = IMAGES;
    console.log(
      `${watch.count} answers on ${length} images were looked at; ${load.approved.length} baselines approved meanwhile`,
    );
    assert.ok(load.approved.length >= 3 && watch.count > 1000);
    assert.deepEqual(watch.problems, []);
    assert.ok(watch.everSaid(alone, "minor", "approved"), "one endpoint's newest block would have been wrong");
  });
}
