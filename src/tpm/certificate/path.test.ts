import assert from "node:assert/strict";
import { test } from "node:test";
import { type CertificateWish, extension } from "./certificate-writer.ts";
import { checkPath } from "./path.ts";
import { authority, certificateOf, subjectOf, usage } from "./testing.ts";

const [root, middle, lower, leaf, stranger] = ["root", "middle", "lower", "leaf", "stranger"].map(subjectOf);
const NOW = Date.parse("2026-01-01T00:00:00Z");
const SIGNS = usage(0x04);

/** A path of four that holds, with what a test changes in it. */
function pathOf(changes: { root?: object; middle?: object; lower?: object; leaf?: object } = {}) {
  const wish = (subject: typeof root, issuer: typeof root, more: object, extensions: Uint8Array[] = []) =>
    certificateOf({ subject: subject!, issuer: issuer!, extensions, ...more } as CertificateWish);
  const known = [
    wish(root, root, changes.root ?? {}, [authority(), SIGNS]),
    wish(middle, root, changes.middle ?? {}, [authority(1), SIGNS]),
    wish(lower, middle, changes.lower ?? {}, [authority(0), SIGNS]),
  ];
  return { leaf: wish(leaf, lower, changes.leaf ?? {}), known };
}

function refused(changes: Parameters<typeof pathOf>[0], message: RegExp): void {
  const { leaf: certificate, known } = pathOf(changes);
  assert.throws(() => checkPath(certificate, known, NOW), { code: "ek-untrusted", message });
}

test("a path that holds, in any order of what is known, among others of the same names", () => {
  const { leaf: certificate, known } = pathOf();
  for (const order of [
    known,
    known.toReversed(),
    [...pathOf({ lower: { signer: stranger } }).known.slice(2), ...known],
  ])
    assert.deepEqual(
      checkPath(certificate, order, NOW).map(
        ({ subject }) =>
          Buffer.from(subject)
            .toString("latin1")
            .match(/[a-z]+$/)?.[0],
      ),
      ["leaf", "lower", "middle", "root"],
    );
});

test("each condition by itself is enough to refuse", () => {
  refused({ leaf: { signer: stranger } }, /a signature on the way is wrong/);
  refused({ middle: { signer: stranger } }, /a signature on the way is wrong/);
  refused({ root: { signer: stranger } }, /a signature on the way is wrong/);
  refused({ lower: { extensions: [SIGNS] } }, /CA bit/);
  refused({ lower: { extensions: [authority(0, false), SIGNS] } }, /CA bit/);
  refused({ root: { extensions: [authority(undefined, false), SIGNS] } }, /CA bit/);
  refused({ middle: { extensions: [authority(0), SIGNS] } }, /path length/);
  refused({ root: { extensions: [authority(1), SIGNS] } }, /path length/);
  refused({ lower: { extensions: [authority(0), usage(0x80)] } }, /key usage/);
  for (const part of ["leaf", "lower", "middle", "root"]) {
    const keep = part === "leaf" ? [] : [authority(), SIGNS];
    refused({ [part]: { notAfter: "251231235959Z", extensions: keep } }, /expired on 2025-12-31/);
    refused({ [part]: { notBefore: "260101000001Z", extensions: keep } }, /not valid before 2026-01-01/);
    const unknown = extension("1.3.6.1.5.5.7.1.99", new Uint8Array([5, 0]), true);
    refused({ [part]: { extensions: [...keep, unknown] } }, /critical extension 1\.3\.6\.1\.5\.5\.7\.1\.99/);
    // Name constraints are such a condition.
    refused(
      { [part]: { extensions: [...keep, extension("2.5.29.30", new Uint8Array([0x30, 0]), true)] } },
      /2\.5\.29\.30/,
    );
  }
  const keyId = (type: string, tags: [number, number?], byte: number) => {
    const inner = new Uint8Array([tags[0], 1, byte]);
    return extension(type, tags[1] === undefined ? inner : new Uint8Array([tags[1], 3, ...inner]));
  };
  const lowerId = { extensions: [authority(0), SIGNS, keyId("2.5.29.14", [0x04], 7)] };
  refused({ lower: lowerId, leaf: { extensions: [keyId("2.5.29.35", [0x80, 0x30], 8)] } }, /issuer's key is another/);
  const { leaf: certificate, known } = pathOf({
    lower: lowerId,
    leaf: { extensions: [keyId("2.5.29.35", [0x80, 0x30], 7), extension("1.2.3", new Uint8Array([5, 0]))] },
  });
  assert.equal(checkPath(certificate, known, NOW).length, 4);
});

test("nothing is trusted but a self-signed certificate that is known", () => {
  const { leaf: certificate, known } = pathOf();
  assert.throws(() => checkPath(certificate, [], NOW), { message: /no certificate of its issuer/ });
  assert.throws(() => checkPath(certificate, known.slice(1), NOW), { code: "ek-untrusted" });
  const own = certificateOf({ subject: leaf!, issuer: leaf!, extensions: [authority()] });
  assert.throws(() => checkPath(own, known, NOW), { code: "ek-untrusted" });
});

test("a crowd of certificates that certify each other costs little", () => {
  const names = Array.from({ length: 6 }, (_, index) => subjectOf(`n${index}`));
  const crowd = names.flatMap((subject) =>
    names.flatMap((issuer) => {
      const wish = { subject, issuer, extensions: [authority()] };
      return subject === issuer ? [] : Array.from({ length: 20 }, () => certificateOf(wish));
    }),
  );
  const certificate = certificateOf({ subject: leaf!, issuer: names[0]! });
  const start = performance.now();
  assert.throws(() => checkPath(certificate, crowd, NOW), { code: "ek-untrusted" });
  assert.ok(performance.now() - start < 5000);
});
