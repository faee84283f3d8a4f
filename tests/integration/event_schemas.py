# SPDX-License-Identifier: Apache-2.0
"""What a daemon says of its events, as something to hold deliveries against."""

import json

import jsonschema

V1 = "/apis/rondo/v1"
EACH = 20  # of a type are checked of what one receiver got
known = None  # what the first daemon said that was subscribed to


class EventSchemas:
    """The catalogue of one daemon and the schemas that it serves."""

    def __init__(self, daemon):
        self.types = {t["type"]: t for t in daemon.get(f"{V1}/events/types")["types"]}
        self.checkers = {}
        for name, described in self.types.items():
            schema = daemon.get(described["schema"])
            jsonschema.Draft202012Validator.check_schema(schema)
            self.checkers[name] = jsonschema.Draft202012Validator(
                schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)

    def members(self, kind):
        """name -> description of the members of its data."""
        return {m["name"]: m for m in self.types[kind]["members"]}

    def check(self, body):
        """A body of the format "standard" is what its schema says, and says nothing else."""
        kind = body["type"]
        assert kind in self.types, f"{kind} is not in the catalogue"
        self.checkers[kind].validate(body)
        assert set(body) == {"id", "type", "timestamp", "version", "data"}, body
        assert body["version"] == self.types[kind]["version"]
        known = self.members(kind)
        stray = {m for m in body["data"] if m.removesuffix("_left_out") not in known}
        assert not stray, f"{kind} has {stray}, which the catalogue does not tell"


def learn(daemon):
    """Ask once for all tests of this process; what they receive is held against it: check_bodies()."""
    global known
    if known is None:
        known = EventSchemas(daemon)


def check_bodies(bodies):
    """Those of the format "standard" among them."""
    counts = {}
    for text in bodies if known is not None else ():
        try:
            body = json.loads(text)
        except ValueError:
            continue
        if not isinstance(body, dict) or set(body) != {"id", "type", "timestamp", "version", "data"}:
            continue
        counts[body["type"]] = counts.get(body["type"], 0) + 1
        if counts[body["type"]] <= EACH:
            known.check(body)
