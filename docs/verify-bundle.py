#!/usr/bin/env python3
"""Checks a bundle of evidence (docs/bundle.md) with Python's standard library and openssl, and none of PIMS's code.

usage: verify-bundle.py [--ak NAME]... [--baseline ROOT]... [--verifier-key PIN]... [--roots FILE] [--undated] BUNDLE

It checks the quote's signature and fields, the log's replay to the quoted registers, the baselines' roots, and that
the verifier's signed results are of this bundle. Of the containers it says itself what can be said in a few lines: a
violation in the log, or code whose digest no baseline has, is `untrusted`; an image without a baseline is `unknown`.
The worse of that and the verifier's results counts.

Exit status: 0 trusted, 1 could not be checked, 2 untrusted or bad evidence, 3 not determined.
"""
import argparse, base64, datetime, hashlib, json, os, re, struct, subprocess, sys, tempfile

MAX_BUNDLE_BYTES = 256 << 20
MAX_STRUCTURE_BYTES = 8 << 20
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
        good = type(value) is form and (form is not int or value >= 0)
    if not good:
        raise Malformed(f"{where} has another form than expected")


BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
DIGEST = r"[0-9a-f]{64}"
COORDINATE = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
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
            "registry": (
                {
                    "chainId": r"0|[1-9]\d{0,77}",
                    "contract": r"0x[0-9a-f]{40}",
                    "block": r"0|[1-9]\d{0,77}",
                    "proposal": r"0x[0-9a-f]{64}",
                    "approvals": int,
                    "proof": None,
                },
                None,
            ),
        }
    ],
    "policy": str,
    "results": {"key": {"kty": "EC", "crv": "P-256", "x": COORDINATE, "y": COORDINATE}, "ear": str},
}


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
    # Exactly one way to write it, so that no two readers understand it differently.
    if canonical(bundle) != text:
        raise Malformed("it is not in the form that bundles are written in")
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


# --- the verifier's results (RFC 7515, draft-ietf-rats-ear) ---

EAR_PROFILE = "tag:ietf.org,2026:rats/ear#04"
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
    at = datetime.datetime.fromisoformat(bundle["evidence"]["acceptedAt"].replace("Z", "+00:00")).timestamp()
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


def main():
    parser = argparse.ArgumentParser(description="Checks a bundle of evidence without PIMS.")
    parser.add_argument("bundle")
    many = {"action": "append", "default": []}
    parser.add_argument("--ak", **many, help="Name of an attestation key that you know to be in a TPM")
    parser.add_argument("--baseline", **many, help="root of a baseline that you know to be good")
    parser.add_argument("--verifier-key", **many, help="pin of the key of a verifier whose word you take: sha256:…")
    parser.add_argument("--roots", help="certificates of TPM makers, PEM: the TPM must be of one of them")
    parser.add_argument("--undated", action="store_true", help="do not ask when it was")
    options = parser.parse_args()
    bundle, policy = read_bundle(options.bundle)
    quoted, key = check_quote(bundle, policy)
    events = whole("log", check_log, bundle, quoted)
    images = whole("baselines", check_baselines, bundle)
    verdicts = whole("log", judge, events, images)
    said, pin = whole("results", check_results, bundle, key, verdicts)
    if options.roots:
        check_endorsement(bundle, options.roots)
    said_by = pin in options.verifier_key
    below = policy["platform"]
    lenient = policy["starts"] or any(one["allow"] for one in policy["listeners"]) or policy["maxPauseMs"] is not None
    roots = {baseline["root"] for baseline in bundle["baselines"]}
    missing = []
    # A verifier's word stands for what is not named at all, not against what is named.
    if key not in options.ak and (options.ak or not said_by):
        missing.append("key: nobody whom you know says that the attestation key is in a TPM (--ak, --verifier-key)")
    if not roots <= set(options.baseline) and (options.baseline or not said_by):
        missing.append("baselines: nobody whom you know has approved them (--baseline, --verifier-key)")
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
