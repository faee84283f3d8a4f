# SPDX-License-Identifier: Apache-2.0
"""Secrets of webhooks at rest: what Redis holds, and what becomes of it when keys change."""

import base64
import hashlib
import hmac
import json
import re
import secrets

import pytest
import requests

from rondo_testing import Daemon, Receiver, Redis, shell_spec, wait_for

V1 = "/apis/rondo/v1"


def new_key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def stored(redis):
    """Everything that Redis holds of subscriptions."""
    keys = redis.command("KEYS", "*subscriptions").split()
    return "".join(redis.command("HVALS", key) for key in keys)


def ping(daemon, subscription, receiver):
    """A ping arrives, signed, with the header that was given."""
    seen = len(receiver.events("webhook.ping"))
    daemon.post(f"{V1}/subscriptions/{subscription}:ping")
    receiver.wait_events(seen + 1, "webhook.ping")
    request = receiver.requests[-1]
    assert receiver.verify(request)
    assert request["headers"]["authorization"] == "Bearer hush-hush"


def test_secrets_are_sealed_and_keys_rotate(tmp_path):
    old, new, keys = new_key(), new_key(), tmp_path / "keys"
    with Redis() as redis, Receiver() as receiver:
        settings = {"executor": "noop", "webhook_allow": "127.0.0.1"}
        with Daemon(redis=redis.url, settings=settings) as daemon:
            made = daemon.post(f"{V1}/subscriptions", {
                "url": receiver.url, "headers": {"Authorization": "Bearer hush-hush"}})
            receiver.secret = made["secret"]
            ping(daemon, made["id"], receiver)
            assert made["secret"] in stored(redis)  # without keys
            daemon.restart()
            wait_for(lambda: "webhook secrets are stored in Redis as they are" in daemon.log(), what="a warning")
            daemon.stop()

            # What was stored plainly is read, and sealed when it is written next.
            keys.write_text(old + "\n")
            daemon.args += ["--secrets-key-file", str(keys)]
            daemon.start()
            ping(daemon, made["id"], receiver)
            daemon.patch(f"{V1}/subscriptions/{made['id']}", {})
            text = stored(redis)
            assert made["secret"] not in text and "hush-hush" not in text
            assert text.count("sealed:1:") == 2
            by_old = set(re.findall(r"sealed:1:(\w{8}):", text))
            ping(daemon, made["id"], receiver)
            daemon.stop()

            keys.write_text(f"{new}\n{old}\n")
            daemon.start()
            ping(daemon, made["id"], receiver)
            daemon.patch(f"{V1}/subscriptions/{made['id']}", {})
            by_new = set(re.findall(r"sealed:1:(\w{8}):", stored(redis)))
            assert len(by_old) == len(by_new) == 1 and by_old != by_new
            daemon.stop()

            # Without its key nothing is sent, and nothing is dropped either.
            keys.write_text(f"{old}\n")
            daemon.start()
            wait_for(lambda: f"sealed with key {next(iter(by_new))}, which is not in --secrets-key-file"
                     in daemon.log(), what="the reason for waiting")
            told = daemon.get(f"{V1}/subscriptions", expect=503)["message"]
            assert told.startswith("subscriptions cannot be read: ") and "is not in --secrets-key-file" in told
            daemon.post(f"{V1}/subscriptions/{made['id']}:ping", expect=503)
            daemon.stop()
            keys.write_text(f"{new}\n")
            daemon.start()
            ping(daemon, made["id"], receiver)
            assert "hush-hush" not in daemon.log() and made["secret"] not in daemon.log()
            assert old not in daemon.log() and new not in daemon.log()


def test_a_subscription_that_becomes_unreadable_goes_on_as_it_was(tmp_path):
    """Another daemon has a new key already, say."""
    keys = tmp_path / "keys"
    keys.write_text(new_key())
    with Redis() as redis, Receiver() as receiver:
        settings = {"executor": "noop", "webhook_allow": "127.0.0.1", "secrets_key_file": keys}
        with Daemon(redis=redis.url, settings=settings) as daemon:
            made = daemon.post(f"{V1}/subscriptions", {
                "url": receiver.url, "headers": {"Authorization": "Bearer hush-hush"}})
            receiver.secret = made["secret"]
            key = redis.command("KEYS", "*subscriptions")
            text = redis.command("HGET", key, made["id"])
            redis.command("HSET", key, made["id"], re.sub(r"sealed:1:\w{8}:", "sealed:1:00000000:", text))
            redis.command("INCR", key + "_rev")
            ping(daemon, made["id"], receiver)
            assert "goes on as it was" in daemon.log()


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1/"])
def test_a_record_that_was_tampered_with_is_not_used(tmp_path, url):
    """Somebody who can write to Redis, but has no key, moves secrets to a subscription of their own, or
    sends the headers of one elsewhere."""
    keys = tmp_path / "keys"
    keys.write_text(new_key())
    with Redis() as redis, Receiver() as receiver:
        settings = {"executor": "noop", "webhook_allow": "127.0.0.1", "secrets_key_file": keys}
        with Daemon(redis=redis.url, settings=settings) as daemon:
            ids = [daemon.post(f"{V1}/subscriptions", {
                "url": receiver.url, "headers": {"Authorization": "Bearer hush-hush"}})["id"] for _ in range(2)]
            key = redis.command("KEYS", "*subscriptions")
            records = [json.loads(redis.command("HGET", key, one)) for one in ids]
            if url:
                records[0]["url"] = url
            else:
                records[0]["headers"] = records[1]["headers"]
            redis.command("HSET", key, ids[0], json.dumps(records[0]))
            daemon.restart()
            wait_for(lambda: "damaged, or of another record" in daemon.log(), what="a complaint")
            daemon.get(f"{V1}/subscriptions/{ids[0]}", expect=404)
            daemon.get(f"{V1}/subscriptions/{ids[1]}")


def push(daemon, trigger, secret):
    body = b'{"ref":"refs/heads/main"}'
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return requests.post(f"{daemon.url}/hooks/git/{trigger}", data=body, timeout=60, headers={
        "X-GitHub-Event": "ping", "X-GitHub-Delivery": "d1", "Content-Type": "application/json",
        "X-Hub-Signature-256": f"sha256={signature}"}).status_code


def test_secrets_of_git_triggers_are_sealed(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(new_key())
    with Redis() as redis:
        settings = {"executor": "noop", "secrets_key_file": keys}
        with Daemon(redis=redis.url, settings=settings) as daemon:
            pipeline = daemon.upload(json.dumps(shell_spec()), "p")["pipeline_id"]
            made = daemon.post(f"{V1}/triggers/git", {"name": "t", "pipeline_id": pipeline})
            one = daemon.post(f"{V1}/triggers/git", {"name": "u", "pipeline_id": pipeline})
            key = redis.command("KEYS", "*git_triggers")
            text = redis.command("HGET", key, made["id"])
            assert made["secret"] not in text and "sealed:1:" in text
            assert push(daemon, made["id"], made["secret"]) == 200
            assert push(daemon, made["id"], one["secret"]) == 404
            daemon.patch(f"{V1}/triggers/git/{made['id']}", {})
            assert redis.command("HGET", key, made["id"]) != text  # sealed anew
            daemon.restart()
            assert push(daemon, made["id"], made["secret"]) == 200

            # The secret of a trigger of one's own does not open another's.
            record = json.loads(redis.command("HGET", key, made["id"]))
            record["secrets"] = json.loads(redis.command("HGET", key, one["id"]))["secrets"]
            redis.command("HSET", key, made["id"], json.dumps(record))
            assert push(daemon, made["id"], one["secret"]) == 500
            assert "of another record" in daemon.log()
