#!/usr/bin/env python3
"""Checks a bundle of evidence (docs/bundle.md) with Python's standard library and openssl, and none of PIMS's code.

usage: verify-bundle.py [--ak NAME]... [--baseline ROOT]... [--verifier-key PIN]... [--roots FILE] [--undated]
                        [--block HASH]... [--consensus qbft|ibft2|clique --chain-id NUMBER --validator ADDRESS...
                        [--max-block-age SECONDS]] [--registry ADDRESS]...
                        [--checkpoints ADDRESS --reporter ADDRESS] BUNDLE

It checks the quote's signature and fields, the log's replay to the quoted registers, the baselines' roots, what the
state of the ledger's blocks says of them and of the host's log, and that the verifier's signed results are of this bundle. Of the containers it says itself what can be said in a few lines: a
violation in the log, or code whose digest no baseline has, is `untrusted`; an image without a baseline is `unknown`.
The worse of that and the verifier's results counts.

Exit status: 0 trusted, 1 could not be checked, 2 untrusted or bad evidence, 3 not determined.
"""
import argparse, base64, datetime, functools, hashlib, json, os, re, struct, subprocess, sys, tempfile

MAX_BUNDLE_BYTES = 256 << 20
MAX_STRUCTURE_BYTES = 8 << 20
MAX_BLOCKS, MAX_ABOVE, MAX_HEADER_BYTES, MAX_NODES, MAX_NODE_BYTES = 1025, 256, 34 << 10, 65536, 1024
MAX_SEALS, MAX_ALL_HEADERS, MAX_ALL_NODES = 256, 4 << 20, 8 << 20
SHA256 = 0x000B
HASHES = {SHA256: "sha256", 0x000C: "sha384", 0x000D: "sha512"}


class Malformed(Exception):
    """It is no bundle: exit status 1."""


class Bad(Exception):
    """It is one, and not what it says: exit status 2. The first argument is the check that failed."""


def whole(check, work, *arguments):
    """What has another form than expected inside of a part is that part's failure."""
    try:
        return work(*arguments)
    except (Malformed, KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Bad(check, f"something in it has another form than expected ({error!r:.200})")


# --- the form of a bundle ---

def once(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise Malformed("a member stands in it twice")
    return dict(pairs)


def parse_json(text, what):
    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not JSON ({type(error).__name__})")


def canonical(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def shape(value, form, where="the bundle"):
    """`form` is a type, a pattern, a list of one form, a tuple of alternatives (None among them), or members."""
    if isinstance(form, tuple):
        if value is None and None in form:
            return
        form = next(one for one in form if one is not None)
    if form is None:
        good = value is None
    elif isinstance(form, dict):
        good = isinstance(value, dict) and list(value) == list(form)
        for name in form if good else ():
            shape(value[name], form[name], name)
    elif isinstance(form, list):
        good = isinstance(value, list)
        for one in value if good else ():
            shape(one, form[0], where)
    elif isinstance(form, str):
        good = isinstance(value, str) and re.fullmatch(form, value, re.ASCII) is not None
    else:
        good = type(value) is form and (form is not int or 0 <= value < 1 << 53)
    if not good:
        raise Malformed(f"{where} has another form than expected")


BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
DIGEST = r"[0-9a-f]{64}"
COORDINATE = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
DECIMAL = r"0|[1-9]\d{0,76}"
HASH = r"0x[0-9a-f]{64}"
ADDRESS = r"0x[0-9a-f]{40}"
BLOCK = {"block": r"0|[1-9]\d{0,19}", "blockHash": HASH}
FORM = {
    "format": r"pims\.bundle/v1",
    "host": r"(?s:.{1,63})",
    "exportedAt": TIME,
    "attestationKey": BASE64,
    "endorsement": ({"publicArea": BASE64, "certificates": [BASE64]}, None),
    "evidence": {
        "pcr": int,
        "nonce": r"(?:[0-9a-f]{2}){8,64}",
        "attest": BASE64,
        "signature": BASE64,
        "acceptedAt": TIME,
        "from": int,
        "platform": ({"pcrs": [DIGEST], "own": DIGEST, "firmwareLog": (BASE64, None), "ima": (BASE64, None)}, None),
    },
    "log": {"start": None, "records": [str]},
    "baselines": [
        {
            "identity": r"sha256:[0-9a-f]{64}",
            "root": DIGEST,
            "lines": [str],
            "registry": ({"chainId": DECIMAL, "contract": ADDRESS, **BLOCK, "proposal": HASH, "approvals": int}, None),
        }
    ],
    "checkpoint": (
        {
            **{"contract": ADDRESS, "reporter": ADDRESS, "number": r"0|[1-9]\d{0,18}", **BLOCK},
            **{"line": str, "index": int, "size": int, "path": [DIGEST]},
        },
        None,
    ),
    "ledger": {"blocks": [{"header": BASE64, "above": [BASE64]}], "nodes": [BASE64]},
    "policy": str,
    "results": {"key": {"kty": "EC", "crv": "P-256", "x": COORDINATE, "y": COORDINATE}, "ear": str},
}


def seconds_of(time):
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def read_bundle(path):
    with open(path, "rb") as file:
        data = file.read(MAX_BUNDLE_BYTES + 1)
    # Each small thing in JSON takes many times its bytes in memory; strings do not.
    if len(data) > MAX_BUNDLE_BYTES or len(re.sub(rb'"(?:[^"\\]|\\.)*"', b"", data)) > MAX_STRUCTURE_BYTES:
        raise Malformed("it is too large")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8")
    bundle = parse_json(text, "it")
    shape(bundle, FORM)
    for time in bundle["exportedAt"], bundle["evidence"]["acceptedAt"]:
        try:
            seconds_of(time)
        except ValueError:
            raise Malformed("it has a time that there is not")
    # Exactly one way to write it, so that no two readers understand it differently.
    if canonical(bundle) != text:
        raise Malformed("it is not in the form that bundles are written in")
    blocks, nodes = bundle["ledger"]["blocks"], bundle["ledger"]["nodes"]
    headers = [header for block in blocks for header in [block["header"], *block["above"]]]
    too_many = len(blocks) > MAX_BLOCKS or len(nodes) > MAX_NODES or any(len(one["above"]) > MAX_ABOVE for one in blocks)
    # A megabyte takes seconds to hash.
    for parts, size, most in (headers, MAX_HEADER_BYTES, MAX_ALL_HEADERS), (nodes, MAX_NODE_BYTES, MAX_ALL_NODES):
        if too_many or sum(map(len, parts)) > most or any(len(part) > (size + 2) // 3 * 4 for part in parts):
            raise Malformed("it has more of the ledger than a bundle can have")
    policy = parse_json(bundle["policy"], "its policy")
    if not isinstance(policy, dict) or list(policy) != ["starts", "listeners", "maxPauseMs", "platform"]:
        raise Malformed("its policy has another form than expected")
    if canonical(policy) != bundle["policy"] or len(bundle["log"]["records"]) == 0:
        raise Malformed("it is not in the form that bundles are written in")
    return bundle, policy


# --- the TPM's structures (TPM 2.0 Library, part 2) ---

class Reader:
    def __init__(self, data, check, order=">"):
        self.data, self.at, self.check, self.order = data, 0, check, order

    def bytes(self, length):
        if length > len(self.data) - self.at:
            raise Bad(self.check, "a structure of it ends too soon")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length):
        return int.from_bytes(self.bytes(length), "big" if self.order == ">" else "little")

    def sized(self):
        return self.bytes(self.number(2))

    def end(self):
        if self.at != len(self.data):
            raise Bad(self.check, "a structure of it has bytes too many")


def der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + struct.pack(">H", size)
    return bytes([tag]) + length + content


def integer(data):
    number = int.from_bytes(data, "big")
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


RSA_KEY = bytes.fromhex("300d06092a864886f70d0101010500")
EC_KEYS = {
    3: (32, bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")),
    4: (48, bytes.fromhex("301006072a8648ce3d020106052b81040022")),
}


def ec_key(algorithm, point):
    return der(0x30, algorithm + der(3, b"\0\x04" + point))


# fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign; and encryptedDuplication, decrypt, x509sign.
REQUIRED, FORBIDDEN = 0x50032, 0xA0800


def read_key(public):
    """The attestation key in a TPMT_PUBLIC: its Name, its signing scheme, and the key as openssl reads it."""
    read = Reader(public, "quote")
    kind, name_hash, attributes = read.number(2), read.number(2), read.number(4)
    read.sized()  # policy
    symmetric, scheme, scheme_hash = read.number(2), read.number(2), read.number(2)
    expected = {0x0023: 0x0018, 0x0001: 0x0014}.get(kind)  # ECC signs by ECDSA, RSA by RSASSA
    if attributes & REQUIRED != REQUIRED or attributes & FORBIDDEN or symmetric != 0x0010 or scheme != expected:
        raise Bad("quote", "the attestation key is not a restricted signing key that is fixed to its TPM")
    if name_hash not in HASHES or scheme_hash != SHA256:
        raise Bad("quote", "the attestation key uses a hash that is not checked here")
    if kind == 0x0023:
        size, algorithm = EC_KEYS.get(read.number(2), (0, b""))
        if read.number(2) != 0x0010:  # key derivation
            read.number(2)
        x, y = read.sized(), read.sized()
        if size == 0 or len(x) > size or len(y) > size:
            raise Bad("quote", "the attestation key is of a curve that is not checked here")
        spki = ec_key(algorithm, x.rjust(size, b"\0") + y.rjust(size, b"\0"))
    else:
        bits, exponent, modulus = read.number(2), read.number(4), read.sized()
        if exponent not in (0, 65537) or bits < 2048 or len(modulus) * 8 != bits:
            raise Bad("quote", "the attestation key is of a kind that is not checked here")
        spki = der(0x30, RSA_KEY + der(3, b"\0" + der(0x30, integer(modulus) + integer(b"\x01\0\x01"))))
    read.end()
    name = struct.pack(">H", name_hash) + hashlib.new(HASHES[name_hash], public).digest()
    return name, scheme, spki


def read_signature(data, scheme):
    """The signature in a TPMT_SIGNATURE, as openssl reads it."""
    read = Reader(data, "quote")
    if (read.number(2), read.number(2)) != (scheme, SHA256):
        raise Bad("quote", "the signature is not of the scheme that the key is bound to")
    signature = der(0x30, integer(read.sized()) + integer(read.sized())) if scheme == 0x0018 else read.sized()
    read.end()
    return signature


def openssl_verifies(spki, signature, message):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("key", "signature", "message")]
        for path, content in zip(paths, (spki, signature, message)):
            with open(path, "wb") as file:
                file.write(content)
        key, signed, text = paths
        command = ["openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", key, "-signature", signed, text]
        done = subprocess.run(command, capture_output=True, timeout=60)
    return done.returncode == 0 and done.stdout.strip() == b"Verified OK"


def check_quote(bundle, policy):
    """Returns what the TPM shows of the registers, and the Name of the key, hexadecimal."""
    evidence = bundle["evidence"]
    is_nv = evidence["pcr"] in NV_INDEXES
    name, scheme, spki = read_key(base64.b64decode(bundle["attestationKey"]))
    attest = base64.b64decode(evidence["attest"])
    signature = read_signature(base64.b64decode(evidence["signature"]), scheme)
    if not openssl_verifies(spki, signature, attest):
        raise Bad("quote", "its signature is not the attestation key's")
    read = Reader(attest, "quote")
    if (read.bytes(4), read.number(2)) != (b"\xffTCG", 0x8014 if is_nv else 0x8018):
        raise Bad("quote", "what was signed is not what a TPM says of such a register")
    signer, nonce = read.sized(), read.sized()
    clock, resets, restarts, safe, _firmware = (read.number(size) for size in (8, 4, 4, 1, 8))
    # A key of another hierarchy would have its counters obfuscated (part 1, "Names": H(handle of the hierarchy, Name)).
    hashed = hashlib.new(HASHES[int.from_bytes(name[:2], "big")], struct.pack(">I", 0x4000000B) + name).digest()
    if signer != name[:2] + hashed:
        raise Bad("quote", "the attestation key is not a primary key of the endorsement hierarchy")
    if nonce.hex() != evidence["nonce"]:
        raise Bad("quote", "it was not made for this nonce")
    if (evidence["platform"] is None) != (policy["platform"] is None) or (is_nv and policy["platform"]):
        raise Bad("quote", "the policy and the quote differ on whether what is below the agent is proved")
    if is_nv:
        index_name, offset, shown = read.sized(), read.number(2), read.sized()
        if offset != 0 or len(shown) != 32:
            raise Bad("quote", "it does not show all of the NV index")
        check_nv_name(bundle, index_name)
    else:
        selections, bank, select = read.number(4), read.number(2), int.from_bytes(read.bytes(read.number(1)), "little")
        shown = read.sized()
        pcrs = {evidence["pcr"]} | (set(range(11)) if evidence["platform"] else set())
        if selections != 1 or bank != SHA256 or select != sum(1 << pcr for pcr in pcrs) or len(shown) != 32:
            raise Bad("quote", f"it is not of exactly PCR {sorted(pcrs)} of SHA-256")
    read.end()
    if safe > 1:
        raise Bad("quote", "it is malformed")
    say("quote", f"signed by {name.hex()}; reset {resets}, restart {restarts}, clock {clock} ms")
    return shown, name.hex()


NV_INDEXES = range(0x01800000, 0x01BFFFFF)


def check_nv_name(bundle, shown):
    """That the index is the one that the log began with: its Name holds its policy, and that a count which never comes
    again (decisions/0023). Policies are those of the TPM 2.0 Library, part 3; attributes those of part 2."""
    index, records = bundle["evidence"]["pcr"], bundle["log"]["records"]
    boot = whole("log", lambda: json.loads(records[0])["content"]["events"][0])
    count = struct.pack(">Q", whole("log", lambda: int(boot["nv"]["count"])))

    def name(handle, attributes, policy, size):
        area = struct.pack(">IHIH", handle, SHA256, attributes, len(policy)) + policy + struct.pack(">H", size)
        return struct.pack(">H", SHA256) + hashlib.sha256(area).digest()

    def policy(written, operation):
        was = hashlib.sha256(bytes(32) + struct.pack(">IB", 0x18F, written)).digest()
        compared = hashlib.sha256(count + struct.pack(">HH", 0, operation)).digest()
        counter = name(index + 1, 0x22060014, b"", 8)
        return hashlib.sha256(was + struct.pack(">I", 0x149) + compared + counter).digest()

    either = hashlib.sha256(bytes(32) + struct.pack(">I", 0x171) + policy(0, 0) + policy(1, 3)).digest()
    if boot.get("type") != "boot" or len(records) < 2 or shown != name(index, 0x2E060048, either, 32):
        raise Bad("log", "the NV index is not the one that the log began with")


# --- the log, and what is below the agent ---

LINE = re.compile(
    r'\{"recnum":(0|[1-9]\d{0,14}),"(pcr|nv_index)":(0|[1-9]\d{0,7}),'
    r'"digests":\[\{"hashAlg":"sha256","digest":"([0-9a-f]{64})"\}\],"content_type":"pims","content":([^\n]*)\}',
    re.ASCII,
)


def check_log(bundle, quoted):
    """Replays the records from zero to the quoted value; returns their events."""
    evidence, records = bundle["evidence"], bundle["log"]["records"]
    value, events, last, is_nv = bytes(32), [], [], evidence["pcr"] in NV_INDEXES
    for number, line in enumerate(records):
        match = LINE.fullmatch(line)
        if match is None:
            raise Bad("log", f"record {number} has another shape than a log record")
        recnum, kind, register, digest, content = match.groups()
        if int(recnum) != number or int(register) != evidence["pcr"] or (kind == "nv_index") != is_nv:
            raise Bad("log", f"record {number} is missing, or of another register")
        if hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest() != digest:
            raise Bad("log", f"record {number} has another content than its digest says")
        last = whole("log", parse_json, content, "a record").get("events", [])
        events += last
        value = hashlib.sha256(value + bytes.fromhex(digest)).digest()
    registers = check_below(evidence["platform"], value, quoted) if evidence["platform"] else value
    if (value if is_nv else hashlib.sha256(registers).digest()) != quoted:
        raise Bad("log", "the log does not lead to the quoted register")
    say("log", f"{len(records)} records from number 0 lead to the quoted value {value.hex()}")
    fresh = [event for event in last if event.get("type") == "sweep" and event.get("nonce") == evidence["nonce"]]
    if not fresh or not fresh[0].get("sweeps"):
        raise Bad("sweep", "the log does not end with a sweep that answers the nonce")
    say("sweep", "the last record is of a sweep that answers the nonce")
    return events


def check_below(platform, own, quoted):
    """All quoted registers; PCR 10 follows from Linux's list of files. Kernels before 5.8 extend padded SHA-1."""
    if platform["own"] != own.hex() or len(platform["pcrs"]) != 10:
        raise Bad("log", "the log does not lead to the agent's register")
    before = b"".join(map(bytes.fromhex, platform["pcrs"]))
    for algorithm in ("sha256", "sha1"):
        value = bytes(32)
        read = Reader(base64.b64decode(platform["ima"] or ""), "log", "<")
        while read.at < len(read.data):
            if read.number(4) != 10:
                raise Bad("log", "the list of measured files has an entry of another register")
            digest, template = read.bytes(20), read.bytes(read.number(4))
            if template == b"ima":
                content, name = read.bytes(20), read.bytes(read.number(4))
                content += name.ljust(256, b"\0")
            else:
                content = read.bytes(read.number(4))
            hashed = hashlib.new(algorithm, content).digest().ljust(32, b"\0")
            value = hashlib.sha256(value + (b"\xff" * 32 if digest == bytes(20) else hashed)).digest()
        if hashlib.sha256(before + value + own).digest() == quoted:
            return before + value + own
    raise Bad("log", "the list of measured files does not lead to the quoted registers")


# --- baselines (RFC 9162, 2.1.1) ---

def merkle_root(lines):
    level = [hashlib.sha256(b"\0" + line.encode("utf-8", "surrogatepass")).digest() for line in lines]
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2])]
        level = pairs + level[len(pairs) * 2 :]
    return level[0].hex()


def check_baselines(bundle):
    """Digests of the code of each image."""
    images = {}
    for baseline in bundle["baselines"]:
        identity, lines = baseline["identity"], baseline["lines"]
        check = f"baseline {identity[7:19]}"
        if identity in images or not lines or merkle_root(lines) != baseline["root"]:
            raise Bad(check, "its lines do not lead to its root, or it is there twice")
        header, *entries = (parse_json(line, "a baseline's line") for line in lines)
        if header.get("identity") != identity or header.get("entries") != len(entries):
            raise Bad(check, "it is of another image, or not whole")
        images[identity] = {entry["sha256"] for entry in entries}
        say(check, f"{len(lines)} lines lead to the root {baseline['root']}")
    return images


def judge(events, images):
    """Worst first: what the log says of the containers that run."""
    running, verdicts = {}, {}
    for event in events:
        container = event.get("container")
        if not isinstance(container, dict):
            continue
        key = f"{container['runtime']}:{container['id']}"
        known = running.setdefault(key, {"name": container["name"], "image": None, "events": [], "stopped": False})
        known["image"] = known["image"] or container["image"]
        if event["type"] == "container-start":
            if known["stopped"] and container["runtime"] == "runc":
                known["events"] = []  # the id was left to another container
            known["stopped"] = False
        known["stopped"] = known["stopped"] or event["type"] == "container-stop"
        known["events"].append(event)
    for key, container in running.items():
        if container["stopped"]:
            continue
        digests = images.get(container["image"])
        why = [event["reason"] for event in container["events"] if event["type"] == "violation"]
        if digests is not None:
            for event in container["events"]:
                if event["type"] == "code" and event["backing"] == "file" and event["object"]["digest"] not in digests:
                    why.append(f"unlisted code {event['object']['path']}")
        status = "untrusted" if why else "unknown" if digests is None else "trusted"
        verdicts[key] = (status, why, container["name"])
    return verdicts


# --- the ledger (Ethereum's Yellow Paper, appendix F, sections 4.1, 4.3, appendices B, C, D; Solidity's storage layout) ---

def keccak_tables():
    """Round constants, and for each lane of the result of rho and pi: which lane it was, and how far it is turned."""
    constants, register, moved, x, y, lane = [], 1, [(0, 0)] * 25, 1, 0, 0
    for _ in range(24):
        constants.append(0)
        for bit in range(7):
            constants[-1] |= (register & 1) << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    for step in range(24):
        source = x + 5 * y
        x, y = y, (2 * x + 3 * y) % 5
        moved[x + 5 * y] = (source, (step + 1) * (step + 2) // 2 % 64)
    return constants, moved


ROUNDS, MOVED = keccak_tables()
WORD = (1 << 64) - 1


def turned(lane, bits):
    return (lane << bits | lane >> (64 - bits)) & WORD


def keccak(data):
    """Keccak-256 as Ethereum has it: SHA3-256 but for the padding, so that hashlib has none."""
    blocks = bytearray(data + b"\1" + bytes(-(len(data) + 1) % 136))
    blocks[-1] |= 0x80
    a = [0] * 25
    for at in range(0, len(blocks), 136):
        for lane, value in enumerate(struct.unpack("<17Q", blocks[at : at + 136])):
            a[lane] ^= value
        for constant in ROUNDS:
            c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
            d = [c[x - 1] ^ turned(c[(x + 1) % 5], 1) for x in range(5)]
            b = [turned(a[source] ^ d[source % 5], bits) for source, bits in MOVED]
            a = [b[i] ^ (~b[i - i % 5 + (i + 1) % 5] & b[i - i % 5 + (i + 2) % 5]) for i in range(25)]
            a[0] ^= constant
    return struct.pack("<4Q", *a[:4])


def rlp(data):
    """The one item of which this is the one encoding: bytes, or a list."""
    item, rest = rlp_first(data)
    if rest:
        raise Bad("ledger", "something in it is not RLP")
    return item


def rlp_first(data):
    first = data[0]
    if first < 0x80:
        return data[:1], data[1:]
    kind = 0xC0 if first >= 0xC0 else 0x80
    size, start = first - kind, 1
    if size > 55:
        start += size - 55
        size = int.from_bytes(data[1:start], "big")
        if size < 56 or data[1] == 0:
            raise Bad("ledger", "something in it is not RLP")
    content, rest = data[start : start + size], data[start + size :]
    if len(content) != size or (kind == 0x80 and size == 1 and content[0] < 0x80):
        raise Bad("ledger", "something in it is not RLP")
    if kind == 0x80:
        return content, rest
    items = []
    while content:
        item, content = rlp_first(content)
        items.append(item)
    return items, rest


def to_rlp(item):
    if isinstance(item, bytes) and len(item) == 1 and item[0] < 0x80:
        return item
    kind, content = (0x80, item) if isinstance(item, bytes) else (0xC0, b"".join(map(to_rlp, item)))
    if len(content) < 56:
        return bytes([kind + len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([kind + 55 + len(size)]) + size + content


ISTANBUL = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")


def bft_extra(fields):
    """The extra data of a QBFT or IBFT 2.0 header as its hash is over it, as its validators sign it, and their seals; None
    of other headers (EEA QBFT specification; Besu's IBFT 2.0)."""
    if not isinstance(fields, list) or len(fields) < 15 or fields[13] != ISTANBUL:
        return None
    try:
        vanity, validators, vote, turn, seals = rlp(fields[12])
    except (Bad, IndexError, TypeError, ValueError):
        return None
    lists = isinstance(validators, list) and isinstance(seals, list)
    if not lists or not all(isinstance(one, bytes) for one in [vanity, turn, *validators, *seals]):
        return None
    if len(vanity) != 32 or any(len(one) != 20 for one in validators) or any(len(one) > 65 for one in seals):
        return None
    votes = isinstance(vote, list) and len(vote) == 2 and all(isinstance(one, bytes) for one in vote)
    votes = votes and len(vote[0]) == 20 and len(vote[1]) <= 1
    if (votes or vote == []) and len(turn) <= 3 and turn[:1] != b"\0":
        return [vanity, validators, vote, b"", []], [vanity, validators, vote, turn, []], seals
    if (votes or vote == b"") and len(turn) == 4:
        return [vanity, validators, vote], [vanity, validators, vote, turn], seals
    return None


def with_extra(fields, extra):
    return to_rlp([*fields[:12], extra, *fields[13:]])


# secp256k1 (SEC 2): y² = x³ + 7 over this prime; order and generator of its group.
PRIME = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BASE = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def added(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % PRIME == 0:
        return None
    if p == q:
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, PRIME)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, PRIME)
    x = (slope * slope - p[0] - q[0]) % PRIME
    return x, (slope * (p[0] - x) - p[1]) % PRIME


def times(scalar, p):
    product = None
    while scalar:
        product, p, scalar = added(product, p) if scalar & 1 else product, added(p, p), scalar >> 1
    return product


def signer_of(hashed, seal):
    """Address whose signature (r, s, parity of y) this is (SEC 1, 4.1.6), also by its twin with the larger s; None: nobody's."""
    r, s = int.from_bytes(seal[:32], "big"), int.from_bytes(seal[32:64], "big")
    if len(seal) != 65 or seal[64] > 1 or not 0 < r < ORDER or not 0 < s < ORDER:
        return None
    y = pow(r**3 + 7, (PRIME + 1) // 4, PRIME)
    if y * y % PRIME != (r**3 + 7) % PRIME:
        return None
    point, inverse = (r, y if y % 2 == seal[64] else PRIME - y), pow(r, -1, ORDER)
    public = added(
        times(-int.from_bytes(hashed, "big") * inverse % ORDER, BASE),
        times(s * inverse % ORDER, point),
    )
    if public is None:
        return None
    return "0x" + keccak(b"".join(part.to_bytes(32, "big") for part in public))[12:].hex()


def sealed_blocks(bundle, validators, consensus):
    """Hashes, with their times, of the blocks that two thirds of these validators have sealed (QBFT, IBFT 2.0), or that more than half have
    signed, them or a block above (Clique, EIP-225). Headers of another consensus, or that name others, do not count."""
    known, sealed = {address.lower() for address in validators}, {}
    # A seal takes a twentieth of a second; a bundle has a few blocks.
    for block in bundle["ledger"]["blocks"][:16] if known else ():
        chain = [parse_header(base64.b64decode(header)) for header in [block["header"], *block["above"]]]
        hashed, fields = chain[0]
        extra = bft_extra(fields)
        if consensus == "clique":
            is_other = any(fields[13] != bytes(32) for _, fields in chain)
            is_sealed = not is_other and follows_on(chain) and is_signed([fields for _, fields in chain], known)
        else:
            # IBFT 2.0 hashes a header without round and seals, QBFT with both empty.
            is_same = extra is not None and len(extra[0]) == {"qbft": 5, "ibft2": 3}[consensus]
            is_sealed = is_same and is_committed(fields, extra, known)
        if is_sealed:
            sealed["0x" + hashed.hex()] = number(fields[11], 8)
    return sealed


def is_committed(fields, extra, known):
    (_, named, *_), signed, seals = extra
    # Where a contract chooses the validators (QBFT), headers name none.
    if named and {"0x" + one.hex() for one in named} != known:
        return False
    hashed, signers = keccak(with_extra(fields, to_rlp(signed))), set()
    for seal in seals if len(seals) <= MAX_SEALS else ():
        signers.add(signer_of(hashed, seal))
        if 3 * len(signers & known) >= 2 * len(known):
            return True
    return False


def is_signed(chain, known):
    signers = set()
    for fields in chain:
        if len(fields[12]) < 97:
            return False
        signer = signer_of(keccak(with_extra(fields, fields[12][:-65])), fields[12][-65:])
        if signer not in known:
            return False
        signers.add(signer)
        if 2 * len(signers) > len(known):
            return True
    return False


def number(data, size=32):
    if not isinstance(data, bytes) or len(data) > size or data[:1] == b"\0":
        raise Bad("ledger", "a number in it has another form than expected")
    return int.from_bytes(data, "big")


# Bytes of each field; None: a number. Those from the fifteenth on came later, each with all that were there before it.
HEADER = [32, 32, 20, 32, 32, 32, 256, None, None, None, None, None, (0, 32 << 10), 32, 8, None, 32, None, None, 32, 32]
EMPTY_TRIE = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
# Keccak-256 of what contracts/BaselineRegistry.sol and contracts/Checkpoints.sol compile to.
CODE = {
    "registry": bytes.fromhex("f90f4d91c2c28c6fb8915e4ee3f635e22d99fb7037214597d83bc01abfe7897f"),
    "checkpoints": bytes.fromhex("adaf8065accb4ae15ea5e481df0f166d2c844f9d5c5da442613ab3d0b89fa740"),
}


# As many pieces of data as a proposal can have, and the last second that RFC 3339 can write.
MAX_CHUNKS, LAST_SECOND = 256, 253402300799


@functools.cache
def parse_header(header):
    """A header's hash, and its fields."""
    fields = rlp(header)
    if not isinstance(fields, list) or not 15 <= len(fields) <= len(HEADER):
        raise Bad("ledger", "a header has more or fewer fields than expected")
    for field, size in zip(fields, HEADER):
        least, most = size if isinstance(size, tuple) else (size, size)
        if size is None:
            number(field)
        elif not isinstance(field, bytes) or not least <= len(field) <= most:
            raise Bad("ledger", "a field of a header has another length than expected")
    number(fields[8], 8), number(fields[11], 8)
    extra = bft_extra(fields)
    return keccak(header if extra is None else with_extra(fields, to_rlp(extra[0]))), fields


def follows_on(chain):
    pairs = zip(chain, chain[1:])
    return all(fields[0] == hashed and number(fields[8]) == number(before[8]) + 1 for (hashed, before), (_, fields) in pairs)


class State:
    """State of the ledger's blocks. Headers and nodes stand in the order in which they are needed, each once."""

    def __init__(self, ledger):
        self.given = [base64.b64decode(node) for node in ledger["nodes"]]
        self.headers = ledger["blocks"]
        self.nodes, self.blocks = {}, {}

    def block(self, said):
        """Root of the state, and time, of a block."""
        hashed = bytes.fromhex(said["blockHash"][2:])
        if hashed not in self.blocks:
            if len(self.blocks) == len(self.headers):
                raise Bad("ledger", f"the header of block {said['block']} is missing")
            given = self.headers[len(self.blocks)]
            if given["above"] and parse_header(base64.b64decode(given["header"]))[1][13] == ISTANBUL:
                raise Bad("ledger", f"headers stand above block {said['block']}, whose own seals prove it")
            chain = [parse_header(base64.b64decode(header)) for header in [given["header"], *given["above"]]]
            if chain[0][0] != hashed:
                raise Bad("ledger", f"the header that stands for block {said['block']} has another hash")
            if not follows_on(chain):
                raise Bad("ledger", f"the headers above block {said['block']} do not follow on it")
            fields = chain[0][1]
            self.blocks[hashed] = (number(fields[8], 8), fields[3], number(fields[11], 8))
        height, root, time = self.blocks[hashed]
        if str(height) != said["block"]:
            raise Bad("ledger", f"the header that stands for block {said['block']} is of block {height}")
        return root, time

    def node(self, hashed):
        if hashed not in self.nodes:
            if len(self.nodes) == len(self.given):
                raise Bad("ledger", "a node is missing")
            node = self.given[len(self.nodes)]
            if keccak(node) != hashed:
                raise Bad("ledger", "a node has another hash")
            self.nodes[hashed] = rlp(node)
        return self.nodes[hashed]

    def read(self, root, key):
        """What the trie with this root holds under the hash of a key; None: nothing."""
        if root == EMPTY_TRIE:
            return None
        digits, node = keccak(key).hex(), self.node(root)
        while True:
            if not isinstance(node, list) or len(node) not in (2, 17):
                raise Bad("ledger", "a node of no known form")
            if len(node) == 17:
                if not digits or node[16] != b"":
                    raise Bad("ledger", "a key that ends in a branch")
                child, digits = node[int(digits[0], 16)], digits[1:]
                if child == b"":
                    return None
            else:
                path, child = node[0].hex(), node[1]
                if path[:1] not in ("0", "1", "2", "3") or (path[0] in "02" and path[1] != "0"):
                    raise Bad("ledger", "a path of no known form")
                is_leaf, path = path[0] in "23", path[1:] if path[0] in "13" else path[2:]
                if (len(path) != len(digits)) if is_leaf else not 0 < len(path) < len(digits):
                    raise Bad("ledger", "a path of the wrong length")
                if not digits.startswith(path):
                    return None
                digits = digits[len(path) :]
                if is_leaf:
                    if not isinstance(child, bytes) or not child:
                        raise Bad("ledger", "a leaf without a value")
                    return child
            if isinstance(child, bytes) and len(child) != 32:
                raise Bad("ledger", "a reference that is no hash")
            # A node that is shorter than a hash stands in its parent.
            node = self.node(child) if isinstance(child, bytes) else child

    def contract(self, root, address, code):
        """Reads words of a contract of ours: a function of their slots."""
        value = self.read(root, bytes.fromhex(address[2:]))
        account = rlp(value) if value is not None else []
        if len(account) != 4 or len(account[2]) != 32 or account[3] != CODE[code]:
            raise Bad("ledger", f"{address} is no contract of this version for {code}")
        number(account[0], 8), number(account[1])

        def word(slot):
            value = self.read(account[2], slot if isinstance(slot, bytes) else slot.to_bytes(32, "big"))
            return 0 if value is None else number(rlp(value))

        return word


def of_key(key, slot):
    """The slot of what a mapping holds for a key."""
    return keccak(key.rjust(32, b"\0") + slot.to_bytes(32, "big"))


def split(word, *bits):
    parts = []
    for length in bits:
        parts.append(word & ((1 << length) - 1))
        word >>= length
    return parts


def check_approval(state, baseline, accepted):
    """That the registry's state approves the baseline; returns the block's time."""
    said, identity = baseline["registry"], bytes.fromhex(baseline["identity"][7:])
    root, time = state.block(said)
    word = state.contract(root, said["contract"], "registry")
    current, _latest, governance = word(of_key(identity, 6)), word(of_key(identity, 7)), word(1)
    if current == 0:
        raise Bad("ledger", "a baseline is not approved")
    proposal = current.to_bytes(32, "big")
    first = int.from_bytes(of_key(proposal, 5), "big")
    words = [word((first + place) % (1 << 256)) for place in (0, 1, 2, 4, 5, 6)]
    _proposer, chunks, delivered, lines = split(words[3], 160, 32, 32, 32)
    revision, _first, _last, epoch, approvals = split(words[4], 64, 64, 64, 32, 32)
    approved, revoked, until = split(words[5], 8, 8, 64)
    quorum, now = split(governance, 32, 32)
    parts = [int(said["chainId"]), int(said["contract"], 16), epoch, words[0], revision, *words[1:3], chunks, lines]
    if keccak(b"".join(part.to_bytes(32, "big") for part in parts)) != proposal or words[0].to_bytes(32, "big") != identity:
        raise Bad("ledger", "what the registry has of a baseline does not make its proposal")
    if not approved or revoked or delivered != chunks or chunks > MAX_CHUNKS or until > LAST_SECOND:
        raise Bad("ledger", "a baseline is not approved")
    if epoch == now and approvals < quorum:
        raise Bad("ledger", "a baseline has fewer approvals than it needs")
    if until != 0 and until <= accepted:
        raise Bad("ledger", "a baseline ended before the evidence was accepted")
    if words[1] != int(baseline["root"], 16) or proposal.hex() != said["proposal"][2:] or approvals != said["approvals"]:
        raise Bad("ledger", "the ledger has approved another baseline")
    return time


def check_included(checkpoint, root):
    """RFC 9162, 2.1.3.2."""
    if checkpoint["index"] >= checkpoint["size"] or len(checkpoint["path"]) > 53:
        raise Bad("ledger", "the host's line is not in its checkpoint")
    place, last = checkpoint["index"], checkpoint["size"] - 1
    value = hashlib.sha256(b"\0" + checkpoint["line"].encode("utf-8", "surrogatepass")).digest()
    for node in map(bytes.fromhex, checkpoint["path"]):
        if last == 0:
            raise Bad("ledger", "the host's line is not in its checkpoint")
        if place % 2 or place == last:
            value = hashlib.sha256(b"\1" + node + value).digest()
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            value = hashlib.sha256(b"\1" + value + node).digest()
        place, last = place >> 1, last >> 1
    if last != 0 or value != root.to_bytes(32, "big"):
        raise Bad("ledger", "the host's line is not in its checkpoint")


def check_ledger(bundle):
    """That the state of the blocks leads to the baselines' approvals and to the checkpoint."""
    state, checkpoint, times = State(bundle["ledger"]), bundle["checkpoint"], {}
    accepted = seconds_of(bundle["evidence"]["acceptedAt"])
    for baseline in bundle["baselines"]:
        if baseline["registry"] is not None:
            times[baseline["registry"]["blockHash"]] = check_approval(state, baseline, accepted)
    if checkpoint is not None:
        root, times[checkpoint["blockHash"]] = state.block(checkpoint)
        word = state.contract(root, checkpoint["contract"], "checkpoints")
        roots = int.from_bytes(keccak(of_key(bytes.fromhex(checkpoint["reporter"][2:]), 0)), "big")
        said = word((roots + int(checkpoint["number"])) % (1 << 256))
        if said == 0:
            raise Bad("ledger", "its reporter has said no checkpoint of this number")
        check_included(checkpoint, said)
    if len(state.nodes) != len(state.given) or len(state.blocks) != len(state.headers):
        raise Bad("ledger", "it has nodes or headers that prove nothing")
    for block, time in times.items():
        say("ledger", f"block {block}, {accepted - time:.0f} seconds before the evidence was accepted, is what it rests on")


CHECKPOINT_LINE = {
    **{"host": str, "ak": str, "evidence": str, "acceptedAt": (str, None)},
    "log": {"bootId": (str, None), "records": int, "digest": (DIGEST, None), "value": DIGEST},
    "containers": [{"runtime": str, "id": str, "image": (str, None), "status": str, "reasons": [str]}],
}


def check_checkpoint(bundle, key):
    """That the log is the one that the checkpoint has fixed. Returns how many of its records are."""
    if bundle["checkpoint"] is None:
        return 0
    text, records = bundle["checkpoint"]["line"], bundle["log"]["records"]
    line = parse_json(text, "a checkpoint's line")
    shape(line, CHECKPOINT_LINE, "a checkpoint's line")
    if any(one["status"] not in STATUSES for one in line["containers"]):
        raise Bad("checkpoint", "its line has another form than expected")
    if canonical(line) != text or line["host"] != bundle["host"] or line["ak"] != key:
        raise Bad("checkpoint", "its line is of another host or attestation key")
    count, boot = line["log"]["records"], json.loads(records[0])["content"]["events"][0]
    if count == 0 or boot.get("bootId") != line["log"]["bootId"] or count > len(records):
        say("checkpoint", "it fixes nothing of this log: it is of another boot, or of more records than are here")
        return 0
    value, digest = bytes(32), ""
    for record in records[:count]:
        digest = LINE.fullmatch(record)[4]
        value = hashlib.sha256(value + bytes.fromhex(digest)).digest()
    if value.hex() != line["log"]["value"] or digest != line["log"]["digest"]:
        raise Bad("checkpoint", f"it has fixed another log: after {count} records its value is not this one's")
    say("checkpoint", f"{count} of {len(records)} records were fixed on the ledger")
    return count


# --- the verifier's results (RFC 7515, draft-ietf-rats-ear) ---

EAR_PROFILE = "tag:ietf.org,2026:rats/ear#04"
STATUSES = ["trusted", "untrusted", "unknown", "stale", "unreachable"]
TIERS = ["affirming", "none", "warning", "contraindicated"]
TIER_OF = {"trusted": "affirming", "unknown": "none", "untrusted": "contraindicated"}


def from_base64url(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise Bad("results", "they are no token")
    return data


def check_results(bundle, key, verdicts):
    """That the key beside them has signed them, and that they are of this bundle. Returns them, and the key's pin."""
    results = bundle["results"]
    spki = ec_key(EC_KEYS[3][1], from_base64url(results["key"]["x"]) + from_base64url(results["key"]["y"]))
    parts = results["ear"].split(".")
    if len(parts) != 3:
        raise Bad("results", "they are no token")
    header, ear, signature = (from_base64url(part) for part in parts)
    raw = der(0x30, integer(signature[:32]) + integer(signature[32:]))
    signed = ".".join(parts[:2]).encode()
    if len(signature) != 64 or not openssl_verifies(spki, raw, signed):
        raise Bad("results", "their signature is not that of the key beside them")
    header, ear = parse_json(header, "a header"), parse_json(ear, "a token")
    if header.get("alg") != "ES256" or header.get("typ") != "eat+jwt":
        raise Bad("results", "they are signed in another way than ES256")
    submods = dict(ear["submods"])
    host = submods.pop("host")
    claims = host["ear_verifier_claims"]["pims"]
    rest = canonical({name: value for name, value in bundle.items() if name != "results"})
    if ear["eat_profile"] != EAR_PROFILE or claims["bundle"] != hashlib.sha256(rest.encode()).hexdigest():
        raise Bad("results", "they are not of this bundle")
    if claims["attestationKey"] != key or submods.keys() != verdicts.keys():
        raise Bad("results", "they are of another attestation key, or of other containers")
    tier = lambda status: TIERS.index(status)
    for container, (status, _, name) in verdicts.items():
        if tier(submods[container]["ear_status"]) < tier(TIER_OF[status]):
            raise Bad("results", f"they are better for {name} than what is found: not {status}")
    if tier(ear["ear_status"]) < max(tier(one["ear_status"]) for one in [host, *submods.values()]):
        raise Bad("results", "they are better as a whole than in their parts")
    pin = "sha256:" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
    say("results", f"{ear['ear_status']}, signed by {pin}, of this bundle")
    return ear["ear_status"], pin


def check_endorsement(bundle, roots):
    """That the endorsement key's certificate led to a root when the evidence was accepted, by openssl's rules."""
    certificates = [base64.b64decode(one) for one in (bundle["endorsement"] or {}).get("certificates", [])]
    if not certificates:
        raise Bad("endorsement", "the bundle has no certificate of the TPM's maker")
    at = seconds_of(bundle["evidence"]["acceptedAt"])
    with tempfile.TemporaryDirectory() as folder:
        pems = []
        for number, certificate in enumerate(certificates):
            pems.append(os.path.join(folder, str(number)))
            text = base64.encodebytes(certificate).decode()
            with open(pems[-1], "w") as file:
                file.write(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
        steps = [word for pem in pems[1:] for word in ("-untrusted", pem)]
        trusted = ["-CAfile", roots, "-no-CApath", "-no-CAstore"]
        command = ["openssl", "verify", "-attime", str(int(at)), *trusted, *steps, pems[0]]
        done = subprocess.run(command, capture_output=True, timeout=60)
        public = ["openssl", "x509", "-in", pems[0], "-noout", "-pubkey"]
        shown = subprocess.run(public, capture_output=True, timeout=60).stdout.decode()
    if done.returncode != 0:
        why = done.stderr.decode().strip()[-200:]
        raise Bad("endorsement", f"its certificate leads to no root that you trust: {why}")
    own = base64.b64decode(re.sub(r"-----[^-]*-----|\s", "", shown))
    # The numbers of an EK's template end its public area: the modulus, or both coordinates with their lengths.
    area = base64.b64decode(bundle["endorsement"]["publicArea"])
    numbers = area[-68:-34][2:] + area[-32:] if area[:2] == b"\0\x23" else area[-256:]
    # Of a shorter area less would be compared, of an empty one nothing.
    if len(numbers) not in (64, 256) or numbers not in own:
        raise Bad("endorsement", "its certificate is of another key")
    say("endorsement", "its maker certified the endorsement key")


# --- all of it ---

def say(what, text):
    # Names and paths are the container's: they must not write to the terminal.
    print(f"{what}: {text}".encode("unicode_escape").decode())


def is_known(shown, blocks, **names):
    """Whether something is shown for a block that the caller knows, and is of whom and where the caller names."""
    if shown is None or shown["blockHash"] not in map(str.lower, blocks):
        return False
    return all(shown[member] in [one.lower() for one in known] for member, known in names.items())


def main():
    parser = argparse.ArgumentParser(description="Checks a bundle of evidence without PIMS.")
    parser.add_argument("bundle")
    many = {"action": "append", "default": []}
    parser.add_argument("--ak", **many, help="Name of an attestation key that you know to be in a TPM")
    parser.add_argument("--baseline", **many, help="root of a baseline that you know to be good")
    parser.add_argument("--block", **many, help="hash of a block that you know to be the ledger's")
    parser.add_argument("--validator", **many, help="give all validators of the ledger instead of --block")
    parser.add_argument("--consensus", choices=["qbft", "ibft2", "clique"], help="by which these validators seal blocks")
    parser.add_argument("--chain-id", help="and the number of their chain")
    parser.add_argument("--max-block-age", help="seconds before the evidence for a block that they sealed (300), or unlimited")
    parser.add_argument("--registry", **many, help="registry whose baselines you take, with --block")
    parser.add_argument("--checkpoints", help="ask for a checkpoint in this contract, with --block and --reporter")
    parser.add_argument("--reporter", help="the verifier's address there")
    parser.add_argument("--verifier-key", **many, help="pin of the key of a verifier whose word you take: sha256:…")
    parser.add_argument("--roots", help="certificates of TPM makers, PEM: the TPM must be of one of them")
    parser.add_argument("--undated", action="store_true", help="do not ask when it was")
    options = parser.parse_args()
    if bool(options.checkpoints) != bool(options.reporter) or bool(options.block or options.validator) != bool(options.registry or options.reporter):
        parser.error("--block and --validator go with --registry, or with --checkpoints and --reporter, and these go with it")
    if len({bool(options.validator), bool(options.consensus), bool(options.chain_id)}) > 1:
        parser.error("--validator, --consensus and --chain-id are given together")
    if options.max_block_age and not options.validator:
        parser.error("--max-block-age goes with --validator")
    if options.validator and options.undated and options.max_block_age != "unlimited":
        parser.error("with --validator and --undated nothing says how old a block is: --max-block-age unlimited takes any")
    if not re.fullmatch(r"\d{1,10}|unlimited", options.max_block_age or "300", re.ASCII):
        parser.error("--max-block-age is a number of seconds, or unlimited")
    max_age = float("inf") if options.max_block_age == "unlimited" else int(options.max_block_age or 300)
    bundle, policy = read_bundle(options.bundle)
    quoted, key = check_quote(bundle, policy)
    events = whole("log", check_log, bundle, quoted)
    images = whole("baselines", check_baselines, bundle)
    whole("ledger", check_ledger, bundle)
    fixed = whole("checkpoint", check_checkpoint, bundle, key)
    verdicts = whole("log", judge, events, images)
    said, pin = whole("results", check_results, bundle, key, verdicts)
    if options.roots:
        check_endorsement(bundle, options.roots)
    sealed = whole("ledger", sealed_blocks, bundle, options.validator, options.consensus)
    said_by = pin in options.verifier_key
    below = policy["platform"]
    lenient = policy["starts"] or any(one["allow"] for one in policy["listeners"]) or policy["maxPauseMs"] is not None
    unnamed = [one for one in bundle["baselines"] if one["root"] not in options.baseline]
    # The same validators may keep another chain, with a registry of the same address; the proposal's id holds the number.
    accepted = seconds_of(bundle["evidence"]["acceptedAt"])
    young = [block for block, time in sealed.items() if time >= accepted - max_age]
    on_chain = {"contract": options.registry, "chainId": [options.chain_id]}
    strange = [
        one
        for one in unnamed
        if not is_known(one["registry"], options.block, contract=options.registry)
        and not is_known(one["registry"], young, **on_chain)
    ]
    missing = []
    # A verifier's word stands for what is not named at all, not against what is named.
    if key not in options.ak and (options.ak or not said_by):
        missing.append("key: nobody whom you know says that the attestation key is in a TPM (--ak, --verifier-key)")
    if strange and (options.baseline or options.registry or not said_by):
        missing.append("baselines: nobody whom you know has approved them (--baseline, --block and --registry, --verifier-key)")
    place = {"contract": [options.checkpoints or ""], "reporter": [options.reporter or ""]}
    if options.reporter and (not fixed or not is_known(bundle["checkpoint"], [*options.block, *sealed], **place)):
        missing.append("checkpoint: none that fixes some of this log is shown for a block, a contract and a reporter that you name")
    if (lenient or (below and below["manifests"])) and not said_by:
        missing.append("policy: it makes exceptions, and nobody whom you know stands for them (--verifier-key)")
    if below and not said_by:
        missing.append("below the agent: boot and released files are judged by 'pims verify' and the verifier only")
    if not options.undated and not said_by:
        missing.append("time: nobody whom you know says when the nonce was given out (--undated, --verifier-key)")
    for text in missing:
        say("missing", text)
    statuses = set()
    for container, (status, why, name) in verdicts.items():
        say(f"{container} ({name})", " ".join([status, *why]))
        statuses.add(status)
    if said == "contraindicated" or "untrusted" in statuses:
        verdict = "untrusted"
    else:
        verdict = "unknown" if missing or said != "affirming" or "unknown" in statuses else "trusted"
    print(verdict)
    return {"trusted": 0, "untrusted": 2, "unknown": 3}[verdict]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Bad as bad:
        say(bad.args[0], f"FAILED, {bad.args[1]}")
        print("untrusted")
        sys.exit(2)
    except Malformed as malformed:
        sys.exit(f"this is no bundle of evidence: {malformed}")
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"it could not be checked: {error}")
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        sys.exit(f"this is no bundle of evidence: something in it has another form than expected ({error!r})")
