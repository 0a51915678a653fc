#!/usr/bin/env python3
"""Definitions there and back: what RabbitMQ exports is imported here, what is exported here is
imported into RabbitMQ, and each time nothing may be lost or changed.

    tests/interop/definitions_round_trip.py http://127.0.0.1:15672 http://127.0.0.1:15690

The first address is Forebay's admin listener, the second RabbitMQ's management, both with
guest/guest. A virtual host and a user of their own are made in both and deleted afterwards. Ends
with 1 and the differences when there are any. Standard library only.
"""

import base64
import json
import sys
import urllib.error
import urllib.request

VHOST = "definitions-round-trip"
USER = "definitions-round-trip"
#: Lists of definitions, and by what their entries are told apart.
LISTS = {
    "users": ("name",),
    "vhosts": ("name",),
    "permissions": ("vhost", "user"),
    "parameters": ("vhost", "component", "name"),
    "policies": ("vhost", "name"),
    "exchanges": ("vhost", "name"),
    "queues": ("vhost", "name"),
    "bindings": ("vhost", "source", "destination_type", "destination", "routing_key", "arguments"),
}

QUEUES = {
    "plain": {},
    "classic": {"x-queue-type": "classic"},
    "limited": {"x-max-length": 10, "x-max-length-bytes": 1000, "x-overflow": "reject-publish"},
    "dlx": {"x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "direct",
            "x-dead-letter-routing-key": "dead"},
    "timed": {"x-message-ttl": 60000, "x-expires": 86400000},
    "priority": {"x-max-priority": 10},
    "single": {"x-single-active-consumer": True},
    "lazy": {"x-queue-mode": "lazy", "x-queue-version": 2},
    "placed": {"x-queue-master-locator": "min-masters"},
    "quorum": {"x-queue-type": "quorum"},
    "quorum-all": {
        "x-queue-type": "quorum", "x-delivery-limit": 5, "x-quorum-initial-group-size": 3,
        "x-max-in-memory-length": 100, "x-max-in-memory-bytes": 1000, "x-max-length": 1000,
        "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "direct", "x-queue-leader-locator": "balanced",
        "x-single-active-consumer": True, "x-expires": 1000000, "x-message-ttl": 1000,
    },
    "unknown": {"x-of-a-plugin": {"nested": [1, "two", True]}},
    "ünïcode 'quoted' ~": {},
}
EXCHANGES = {
    "direct": ("direct", True, False, {}),
    "fanout": ("fanout", True, False, {}),
    "topic": ("topic", True, False, {"alternate-exchange": "fanout"}),
    "headers": ("headers", True, False, {}),
    "hidden": ("fanout", True, True, {}),
}
BINDINGS = [
    ("direct", "q", "plain", "key", {}),
    ("direct", "q", "plain", "", {}),
    ("topic", "q", "quorum", "a.*.#", {}),
    ("headers", "q", "classic", "", {"x-match": "all", "kind": "order", "count": 3}),
    ("headers", "q", "classic", "", {"x-match": "any", "kind": "parcel"}),
    ("topic", "e", "hidden", "#", {}),
    ("fanout", "q", "ünïcode 'quoted' ~", "", {"note": "kept"}),
]
POLICIES = {
    "limits": {"pattern": "^pl", "apply-to": "queues", "priority": 1,
               "definition": {"max-length": 5, "message-ttl": 1000, "expires": 100000}},
    "letters": {"pattern": ".*", "apply-to": "all", "priority": 0,
                "definition": {"dead-letter-exchange": "direct", "dead-letter-routing-key": "k",
                               "alternate-exchange": "fanout"}},
    "mirrors": {"pattern": "^classic$", "apply-to": "queues", "priority": 2,
                "definition": {"ha-mode": "exactly", "ha-params": 2,
                               "ha-sync-mode": "automatic", "queue-mode": "lazy"}},
}
OPERATOR_POLICIES = {
    "ceiling": {"pattern": "", "apply-to": "queues", "priority": 0,
                "definition": {"max-length-bytes": 100000000, "delivery-limit": 50}},
}


class Broker:
    """An HTTP API."""

    def __init__(self, address):
        self.address = address

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.address}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "content-type": "application/json",
                "authorization": "Basic " + base64.b64encode(b"guest:guest").decode(),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {request.full_url}: {error.code} {error.read().decode()}")
        return json.loads(text) if text else None

    def clear(self):
        names = [entry["name"] for entry in self.ask("GET", "vhosts")]
        if VHOST in names:
            self.ask("DELETE", f"vhosts/{VHOST}")
        if USER in [entry["name"] for entry in self.ask("GET", "users")]:
            self.ask("DELETE", f"users/{USER}")

    def fill(self):
        self.ask("PUT", f"vhosts/{VHOST}", {})
        self.ask("PUT", f"users/{USER}", {"password": "secret", "tags": "monitoring,policymaker"})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.ask("PUT", f"permissions/{VHOST}/guest", everything)
        self.ask("PUT", f"permissions/{VHOST}/{USER}",
                 {"configure": "^mine", "write": "", "read": ".*"})
        self.ask("PUT", f"vhost-limits/{VHOST}/max-queues", {"value": 100})
        for name, (kind, durable, internal, arguments) in EXCHANGES.items():
            self.ask("PUT", f"exchanges/{VHOST}/{quoted(name)}",
                     {"type": kind, "durable": durable, "internal": internal,
                      "auto_delete": False, "arguments": arguments})
        for name, arguments in QUEUES.items():
            self.ask("PUT", f"queues/{VHOST}/{quoted(name)}",
                     {"durable": True, "auto_delete": False, "arguments": arguments})
        for source, kind, destination, key, arguments in BINDINGS:
            self.ask("POST", f"bindings/{VHOST}/e/{source}/{kind}/{quoted(destination)}",
                     {"routing_key": key, "arguments": arguments})
        for name, policy in POLICIES.items():
            self.ask("PUT", f"policies/{VHOST}/{name}", policy)
        for name, policy in OPERATOR_POLICIES.items():
            self.ask("PUT", f"operator-policies/{VHOST}/{name}", policy)

    def export(self):
        """What is ours in the definitions."""
        everything = self.ask("GET", "definitions")
        mine = {key: everything[key] for key in everything if key not in LISTS}
        for key in LISTS:
            mine[key] = [entry for entry in everything[key] if is_ours(key, entry)]
        # There is nothing of ours in them.
        mine["topic_permissions"], mine["global_parameters"] = [], []
        return mine


def is_ours(key, entry):
    if key == "users":
        return entry["name"] == USER
    return entry["name"] == VHOST if key == "vhosts" else entry["vhost"] == VHOST


def quoted(name):
    return urllib.request.quote(name, safe="")


def by_identity(definitions, key):
    identity = LISTS[key]
    return {
        tuple(json.dumps(entry.get(field), sort_keys=True) for field in identity): entry
        for entry in definitions[key]
    }


def differences(before, after):
    for key in LISTS:
        old, new = by_identity(before, key), by_identity(after, key)
        for name in sorted(old.keys() | new.keys()):
            left, right = old.get(name), new.get(name)
            # What the newer of both formats has more is no difference.
            fields = (left or {}).keys() & (right or {}).keys()
            if not left or not right or any(left[field] != right[field] for field in fields):
                yield f"{key} {', '.join(name)}:\n  before {left}\n  after  {right}"
            elif left.keys() - right.keys() - {"metadata", "limits"}:
                yield f"{key} {', '.join(name)}: lost {sorted(left.keys() - right.keys())}"


def main():
    forebay, rabbitmq = (Broker(address) for address in sys.argv[1:3])
    for broker in (forebay, rabbitmq):
        broker.clear()
    found = []
    try:
        rabbitmq.fill()
        first = rabbitmq.export()
        expected = {"queues": len(QUEUES), "exchanges": len(EXCHANGES), "bindings": len(BINDINGS),
                    "policies": len(POLICIES), "permissions": 2, "users": 1, "parameters": 2}
        for key, count in expected.items():
            assert len(first[key]) == count, f"RabbitMQ exported {len(first[key])} {key}"
        forebay.ask("POST", "definitions", first)
        second = forebay.export()
        found += [f"RabbitMQ to Forebay: {line}" for line in differences(first, second)]
        rabbitmq.clear()
        rabbitmq.ask("POST", "definitions", second)
        third = rabbitmq.export()
        found += [f"Forebay to RabbitMQ: {line}" for line in differences(first, third)]
    finally:
        for broker in (forebay, rabbitmq):
            broker.clear()
    print("\n".join(found) or "nothing was lost or changed")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
