"""Arguments of queues: which are compared, and which are refused."""

from pika import spec

from .on_queues import not_equivalent
from .scenario import scenario

QUEUE = spec.Queue

EQUIVALENCE = {
    "x-message-ttl": (1000, 2000),
    "x-expires": (100000, 200000),
    "x-max-length": (10, 20),
    "x-max-length-bytes": (10, 20),
    "x-max-priority": (5, 6),
    "x-overflow": ("drop-head", "reject-publish"),
    "x-dead-letter-exchange": ("a", "b"),
    "x-single-active-consumer": (True, False),
    "x-queue-mode": ("lazy", "default"),
}


@scenario
def arguments_that_differ(peer):
    for name, (first, second) in EQUIVALENCE.items():
        not_equivalent(peer, {"arguments": {name: first}}, {"arguments": {name: second}})


@scenario
def arguments_that_are_left_out(peer):
    for name, (first, _) in EQUIVALENCE.items():
        not_equivalent(peer, {"arguments": {name: first}}, {})


@scenario
def arguments_that_are_added(peer):
    for name, (first, _) in EQUIVALENCE.items():
        not_equivalent(peer, {}, {"arguments": {name: first}})


@scenario
def the_same_number_in_another_type(peer):
    not_equivalent(peer, {"arguments": {"x-message-ttl": 1000}}, {"arguments": {"x-message-ttl": 1000 + (1 << 40) - (1 << 40)}})
    not_equivalent(peer, {"arguments": {"x-mine": 1}}, {"arguments": {"x-mine": 2}})


WRONG = [
    ("x-message-ttl", -1),
    ("x-message-ttl", "1000"),
    ("x-message-ttl", 1 << 40),
    ("x-expires", 0),
    ("x-expires", -1),
    ("x-expires", "1000"),
    ("x-max-length", -1),
    ("x-max-length", "a"),
    ("x-max-length-bytes", -5),
    ("x-overflow", "nonsense"),
    ("x-overflow", 5),
    ("x-max-priority", -1),
    ("x-max-priority", 256),
    ("x-max-priority", "5"),
    ("x-dead-letter-exchange", 5),
    ("x-single-active-consumer", "yes"),
    ("x-queue-type", "nonsense"),
    ("x-queue-type", 5),
    ("x-queue-mode", "nonsense"),
    ("x-queue-version", 7),
]


@scenario
def arguments_that_are_wrong(peer):
    for argument, value in WRONG:
        peer.open().call(1, QUEUE.Declare(queue=peer.name("q"), arguments={argument: value}))


@scenario
def dead_letter_routing_key_alone(peer):
    peer.open().call(1, QUEUE.Declare(queue=peer.name("q"), arguments={"x-dead-letter-routing-key": "k"}))


@scenario(deviates="streams are left out: `x-queue-type` `stream` is refused with 540")
def streams(peer):
    peer.open().call(1, QUEUE.Declare(queue=peer.name("q"), durable=True, arguments={"x-queue-type": "stream"}))


@scenario
def quorum_that_is_transient(peer):
    peer.open().call(1, QUEUE.Declare(queue=peer.name("q"), arguments={"x-queue-type": "quorum"}))
