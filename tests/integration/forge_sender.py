# SPDX-License-Identifier: Apache-2.0
"""The senders, re-made from their documents: what each puts in its headers over which bytes. Digests are
made by other libraries than ours: GitHub's own, standardwebhooks, cryptography, Python's hmac."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import json
import pathlib
import subprocess
import urllib.parse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks.webhooks import Webhook

NODE = pathlib.Path(__file__).resolve().parent.parent / "node"
FORM = "application/x-www-form-urlencoded"


def whsec(name):
    return "whsec_" + base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


def private_key(name):
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public_key(name):
    raw = private_key(name).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return "whpk_" + base64.b64encode(raw).decode()


class Octokit:
    """GitHub's own library, in a process that is asked by lines."""

    process = None

    @classmethod
    def ask(cls, **question):
        if cls.process is None:
            cls.process = subprocess.Popen(["node", "octokit.mjs"], cwd=NODE, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True)
        cls.process.stdin.write(json.dumps(question) + "\n")
        cls.process.stdin.flush()
        return json.loads(cls.process.stdout.readline())

    @classmethod
    def stop(cls):
        if cls.process is not None:
            cls.process.stdin.close()
            cls.process.wait(60)
            cls.process.stdout.close()
            cls.process = None


@dataclasses.dataclass
class Message:
    """A request about to be sent: the proof is `prefix` + `digest` in the header `header`."""

    headers: list
    body: str
    header: str
    prefix: str
    digest: str

    def all_headers(self):
        return [*self.headers, (self.header, self.prefix + self.digest)]


@dataclasses.dataclass
class Scheme:
    """One way to send. digest(secret, bytes, when) makes the proof; signs: "raw" body, the "json" inside a form,
    or None where nothing is signed."""

    forge: str
    header: str
    digest: object
    prefix: str = ""
    signs: str | None = "raw"
    source: dict = dataclasses.field(default_factory=dict)
    headers: dict = dataclasses.field(default_factory=dict)
    secrets: tuple = ("the first secret", "the second secret")
    wrong: str = "somebody else's secret"
    is_dated: bool = False
    token: str | None = None  # GitLab's, beside a signature

    def source_of(self, now_us, expired=False):
        first, second = self.secrets[:2]
        secrets = [first, {"text": second, "expires_us": now_us - 1} if expired else second, *self.secrets[2:]]
        return {"forge": self.forge, "secrets": [public(s) for s in secrets], **self.source}

    def message(self, secret, text, form=False, now_s=0, other=False):
        """text: the JSON of the event."""
        body = "payload=" + urllib.parse.quote_plus(text) if form else text
        signed = text if (self.signs == "json") != other else body
        headers = [("Content-Type", FORM if form else "application/json"), *self.headers.items()]
        if self.is_dated:
            headers += [("webhook-timestamp", str(now_s))]
        return Message(headers, body, self.header, self.prefix, self.digest(secret, signed, now_s))


def public(secret):
    """What the receiver is given: of a key pair the public half."""
    if isinstance(secret, dict):
        return {**secret, "text": public(secret["text"])}
    return public_key(secret[5:]) if secret.startswith("pair:") else secret


def hex_mac(name):
    return lambda secret, text, _: hmac.new(secret.encode(), text.encode(), name).hexdigest()


def base64_mac(name):
    return lambda secret, text, _: base64.b64encode(hmac.new(secret.encode(), text.encode(), name).digest()).decode()


def by_octokit(secret, text, _):
    return Octokit.ask(secret=secret, body=text).removeprefix("sha256=")


def itself(secret, _text, _when):
    return secret


def login(secret, _text, _when):
    return base64.b64encode(f"hook:{secret}".encode()).decode()


def standard(secret, text, when):
    at = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
    return Webhook(secret).sign("msg_1", at, text).removeprefix("v1,")


def key_pair(secret, text, when):
    return base64.b64encode(private_key(secret[5:]).sign(f"msg_1.{when}.{text}".encode())).decode()


GITHUB = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1"}
GITEA = {"X-Gitea-Event": "push", "X-Gitea-Delivery": "d-1", "X-Gogs-Event": "push", "X-Gogs-Delivery": "d-1", **GITHUB}
GITLAB = {"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "d-1", "webhook-id": "msg_1"}
KEYS = {"secrets": (whsec("1"), whsec("2")), "wrong": whsec("3"), "is_dated": True, "prefix": "v1,",
        "header": "webhook-signature", "digest": standard}
EVENT = {"ce-specversion": "1.0", "ce-id": "e-1", "ce-source": "/x", "ce-type": "com.example.x"}

SCHEMES = {
    "github": Scheme("github", "X-Hub-Signature-256", by_octokit, "sha256=", headers=GITHUB),
    "github-sha1-refused": Scheme("github", "X-Hub-Signature", hex_mac("sha1"), "sha1=", headers=GITHUB),
    "github-sha1-allowed": Scheme("github", "X-Hub-Signature", hex_mac("sha1"), "sha1=", headers=GITHUB,
                                  source={"sha1": True}),
    "gitlab-token": Scheme("gitlab", "X-Gitlab-Token", itself, signs=None, headers=GITLAB),
    "gitlab-signed": Scheme("gitlab", headers=GITLAB, **KEYS),
    "gitlab-both": Scheme("gitlab", headers=GITLAB, **{**KEYS, "secrets": (whsec("1"), whsec("2"), "a token")},
                          token="a token"),
    "gitea": Scheme("gitea", "X-Gitea-Signature", hex_mac("sha256"), signs="json", headers=GITEA),
    "forgejo": Scheme("forgejo", "X-Forgejo-Signature", hex_mac("sha256"), signs="json",
                      headers={"X-Forgejo-Event": "push", "X-Forgejo-Delivery": "d-1", **GITEA}),
    "gogs": Scheme("gogs", "X-Gogs-Signature", hex_mac("sha256"), signs="json",
                   headers={"X-Gogs-Event": "push", "X-Gogs-Delivery": "d-1", **GITHUB}),
    "bitbucket": Scheme("bitbucket", "X-Hub-Signature", by_octokit, "sha256=",
                        headers={"X-Event-Key": "repo:push", "X-Request-UUID": "d-1", "X-Hook-UUID": "h"}),
    "bitbucket-server": Scheme("bitbucket-server", "X-Hub-Signature", by_octokit, "sha256=",
                               headers={"X-Event-Key": "repo:refs_changed", "X-Request-Id": "d-1"}),
    "bitbucket-server-basic": Scheme("bitbucket-server", "Authorization", login, "Basic ", signs=None,
                                     headers={"X-Event-Key": "repo:refs_changed", "X-Request-Id": "d-1"},
                                     source={"scheme": "basic", "username": "hook"}),
    "azure-devops": Scheme("azure-devops", "Authorization", login, "Basic ", signs=None),
    "azure-devops-header": Scheme("azure-devops", "X-Rondo-Token", itself, signs=None,
                                  source={"scheme": "token", "header": "X-Rondo-Token"}),
    "standard-webhooks": Scheme("standard-webhooks", headers={"webhook-id": "msg_1"}, **KEYS),
    "standard-webhooks-v1a": Scheme("standard-webhooks", "webhook-signature", key_pair, "v1a,", is_dated=True,
                                    headers={"webhook-id": "msg_1"}, secrets=("pair:1", "pair:2"), wrong="pair:3"),
    "hmac": Scheme("hmac", "X-Acme-Signature", hex_mac("sha256"), "sha256=",
                   source={"header": "X-Acme-Signature", "prefix": "sha256="}),
    "hmac-sha512-base64": Scheme("hmac", "X-Signature", base64_mac("sha512"),
                                 source={"algorithm": "sha512", "encoding": "base64"}),
    "bearer": Scheme("bearer", "Authorization", itself, "Bearer ", signs=None),
    "basic": Scheme("basic", "Authorization", login, "Basic ", signs=None, source={"username": "hook"}),
    "cloudevents-signed": Scheme("cloudevents", headers={"webhook-id": "msg_1", **EVENT}, **KEYS),
    "cloudevents-bearer": Scheme("cloudevents", "Authorization", itself, "Bearer ", signs=None, headers=EVENT),
}

OTHER_PREFIX = {"sha256=": "sha512=", "sha1=": "sha2=", "v1,": "v2,", "v1a,": "v1,", "Bearer ": "Token ",
                "Basic ": "Bearer ", "": "sha256="}
# What may be wrong with a message, in the order of the matrix's columns.
FAULTS = ("right", "wrong", "empty", "short", "long", "upper", "prefix", "second", "expired", "missing", "twice",
          "changed", "other", "old", "early")


def make(name, text, fault, form=False, now_s=0):
    """(source, headers, body): the message of this scheme with this fault."""
    scheme = SCHEMES[name]
    secret = {"wrong": scheme.wrong, "second": scheme.secrets[1], "expired": scheme.secrets[1]}.get(
        fault, scheme.secrets[0])
    when = now_s + {"old": -301, "early": 301}.get(fault, 0)
    m = scheme.message(secret, text, form, when, other=fault == "other")
    if fault == "empty":
        m.digest = ""
    elif fault == "short":
        m.digest = m.digest[:-1]
    elif fault == "long":
        m.digest += "0"
    elif fault == "upper":
        m.digest = m.digest.upper()
    elif fault == "prefix":
        m.prefix = OTHER_PREFIX[m.prefix]
    elif fault == "changed":
        m.body += " "
    headers = m.headers if fault == "missing" else m.all_headers()
    if fault == "twice":
        headers = [*headers, headers[-1]]
    if scheme.token is not None:  # right when the signature is not, and the other way round
        is_wrong = fault in ("right", "second", "upper")
        headers = [*headers, ("X-Gitlab-Token", "not the token" if is_wrong else scheme.token)]
    return scheme.source_of(now_s * 1000000, fault == "expired"), headers, m.body
