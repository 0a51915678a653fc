"""Queues: declaring, equivalence, exclusiveness, binding, purging, deleting."""

from pika import spec

from .scenario import scenario

QUEUE = spec.Queue


def with_queue(peer, **options):
    connection = peer.open()
    name = peer.name("q")
    connection.quietly(1, QUEUE.Declare(queue=name, **options))
    return connection, name


def filled(peer, count, **options):
    connection, name = with_queue(peer, **options)
    for number in range(count):
        connection.publish(1, "", name, str(number).encode())
    connection.settle()
    return connection, name


@scenario
def declare_counts(peer):
    connection, name = filled(peer, 3)
    connection.quietly(1, spec.Basic.Consume(queue=peer.name("q"), consumer_tag="c"))
    connection.settle()
    connection.heard.clear()
    connection.call(1, QUEUE.Declare(queue=name))
    other = peer.open()
    other.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def passive_ignores_the_rest(peer):
    connection, name = with_queue(peer)
    connection.call(1, QUEUE.Declare(queue=name, passive=True, durable=True, auto_delete=True, arguments={"x-max-length": 1}))


@scenario
def passive_of_an_unknown(peer):
    peer.open().call(1, QUEUE.Declare(queue=peer.name("none"), passive=True))


@scenario
def named_by_the_broker(peer):
    connection = peer.open()
    connection.call(1, QUEUE.Declare(queue="", exclusive=True))
    connection.call(1, spec.Basic.Get(queue=""))
    connection.call(1, QUEUE.Bind(0, "", "amq.direct", ""))
    connection.call(1, QUEUE.Delete(queue=""))
    connection.call(1, spec.Basic.Get(queue=""))


@scenario
def passive_without_a_name(peer):
    connection, _ = with_queue(peer)
    connection.call(1, QUEUE.Declare(queue="", passive=True))


@scenario
def the_last_queue_when_there_is_none(peer):
    for method in [spec.Basic.Get(queue=""), spec.Basic.Consume(queue=""), QUEUE.Purge(queue=""), QUEUE.Bind(0, "", "amq.direct", ""), QUEUE.Delete(queue=""), QUEUE.Declare(queue="", passive=True)]:
        peer.open().call(1, method)


@scenario
def reserved_name(peer):
    peer.open().call(1, QUEUE.Declare(queue="amq.cmp-mine"))


@scenario
def reserved_name_passive(peer):
    peer.open().call(1, QUEUE.Declare(queue="amq.cmp-mine", passive=True))


def not_equivalent(peer, first, second):
    connection = peer.open()
    name = peer.name(f"q{connection.number}")
    connection.quietly(1, QUEUE.Declare(queue=name, **first))
    connection.call(1, QUEUE.Declare(queue=name, **second))


@scenario
def another_durability(peer):
    not_equivalent(peer, {"durable": True}, {"durable": False})


@scenario
def another_auto_delete(peer):
    not_equivalent(peer, {}, {"auto_delete": True})


@scenario
def another_exclusiveness(peer):
    not_equivalent(peer, {}, {"exclusive": True})


@scenario
def no_longer_exclusive(peer):
    not_equivalent(peer, {"exclusive": True}, {})


@scenario
def exclusive_from_another_connection(peer):
    _, name = with_queue(peer, exclusive=True)
    for method in [
        QUEUE.Declare(queue=name, exclusive=True),
        QUEUE.Declare(queue=name, passive=True),
        QUEUE.Bind(0, name, "amq.direct", "k"),
        QUEUE.Unbind(0, name, "amq.direct", "k"),
        QUEUE.Purge(queue=name),
        QUEUE.Delete(queue=name),
        spec.Basic.Get(queue=name),
        spec.Basic.Consume(queue=name),
    ]:
        peer.open().call(1, method)


@scenario
def exclusive_takes_messages_from_others(peer):
    connection, name = with_queue(peer, exclusive=True)
    other = peer.open()
    other.publish(1, "", name)
    other.call(1, spec.Basic.Qos())
    connection.call(1, spec.Basic.Get(queue=name, no_ack=True))


@scenario
def exclusive_goes_with_its_connection(peer):
    connection, name = with_queue(peer, exclusive=True)
    connection.call(0, spec.Connection.Close(200, "bye", 0, 0))
    peer.open().call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def exclusive_outlives_its_channel(peer):
    connection, name = with_queue(peer, exclusive=True)
    connection.call(1, spec.Channel.Close(200, "bye", 0, 0))
    connection.call(1, spec.Channel.Open())
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def auto_delete_goes_with_its_last_consumer(peer):
    connection, name = with_queue(peer, auto_delete=True)
    connection.call(1, spec.Basic.Consume(queue=name, consumer_tag="c"))
    connection.call(1, spec.Basic.Cancel("c"))
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def auto_delete_stays_without_a_consumer(peer):
    connection, name = with_queue(peer, auto_delete=True)
    connection.call(1, spec.Channel.Close(200, "bye", 0, 0))
    connection.call(1, spec.Channel.Open())
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def auto_delete_goes_with_the_channel_of_its_consumer(peer):
    connection, name = with_queue(peer, auto_delete=True)
    connection.call(1, spec.Basic.Consume(queue=name, consumer_tag="c"))
    connection.call(1, spec.Channel.Close(200, "bye", 0, 0))
    connection.call(1, spec.Channel.Open())
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def delete_counts_messages(peer):
    connection, name = filled(peer, 3)
    connection.call(1, QUEUE.Delete(queue=name))


@scenario
def delete_of_an_unknown(peer):
    peer.open().call(1, QUEUE.Delete(queue=peer.name("none")))


@scenario
def delete_if_unused_in_use(peer):
    connection, name = with_queue(peer)
    connection.call(1, spec.Basic.Consume(queue=name, consumer_tag="c"))
    connection.call(1, QUEUE.Delete(queue=name, if_unused=True))


@scenario
def delete_if_empty_with_messages(peer):
    connection, name = filled(peer, 1)
    connection.call(1, QUEUE.Delete(queue=name, if_empty=True))


@scenario
def delete_if_empty_with_unacked_ones(peer):
    connection, name = filled(peer, 1)
    connection.call(1, spec.Basic.Get(queue=name))
    connection.call(1, QUEUE.Delete(queue=name, if_empty=True))


@scenario
def delete_tells_consumers(peer):
    connection, name = with_queue(peer)
    connection.call(1, spec.Basic.Consume(queue=name, consumer_tag="mine"))
    other = peer.open()
    other.call(1, spec.Basic.Consume(queue=name, consumer_tag="other"))
    connection.call(1, QUEUE.Delete(queue=name))
    other.settle()
    other.call(1, spec.Basic.Cancel("other"))


@scenario
def purge_counts_what_was_ready(peer):
    connection, name = filled(peer, 3)
    connection.call(1, spec.Basic.Get(queue=name))
    connection.call(1, QUEUE.Purge(queue=name))
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def purge_an_unknown(peer):
    peer.open().call(1, QUEUE.Purge(queue=peer.name("none")))


@scenario
def bind_an_unknown(peer):
    peer.open().call(1, QUEUE.Bind(0, peer.name("none"), "amq.direct", "k"))


@scenario
def bind_to_an_unknown(peer):
    connection, name = with_queue(peer)
    connection.call(1, QUEUE.Bind(0, name, peer.name("none"), "k"))


@scenario
def bind_to_the_default(peer):
    connection, name = with_queue(peer)
    connection.call(1, QUEUE.Bind(0, name, "", "k"))


@scenario
def unbind_from_the_default(peer):
    connection, name = with_queue(peer)
    connection.call(1, QUEUE.Unbind(0, name, "", name))


@scenario
def unbind_what_was_not_bound(peer):
    connection, name = with_queue(peer)
    connection.call(1, QUEUE.Unbind(0, name, "amq.direct", "none"))


@scenario
def unbind_an_unknown(peer):
    connection = peer.open()
    connection.call(1, QUEUE.Unbind(0, peer.name("none"), "amq.direct", "k"))


@scenario
def unbind_from_an_unknown(peer):
    connection, name = with_queue(peer)
    connection.call(1, QUEUE.Unbind(0, name, peer.name("none"), "k"))


@scenario
def unbind_compares_arguments(peer):
    connection, name = with_queue(peer)
    exchange = "amq.direct"
    connection.call(1, QUEUE.Bind(0, name, exchange, peer.name("k"), arguments={"a": 1}))
    connection.call(1, QUEUE.Unbind(0, name, exchange, peer.name("k"), arguments={"a": 2}))
    connection.publish(1, exchange, peer.name("k"))
    connection.settle()
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def bind_twice_counts_once(peer):
    connection, name = with_queue(peer)
    for _ in range(2):
        connection.call(1, QUEUE.Bind(0, name, "amq.direct", peer.name("k")))
    connection.call(1, QUEUE.Unbind(0, name, "amq.direct", peer.name("k")))
    connection.publish(1, "amq.direct", peer.name("k"))
    connection.settle()
    connection.call(1, QUEUE.Declare(queue=name, passive=True))


@scenario
def nowait(peer):
    connection = peer.open()
    name = peer.name("q")
    connection.call(1, QUEUE.Declare(queue=name, nowait=True))
    connection.call(1, QUEUE.Bind(0, name, "amq.direct", "k", nowait=True))
    connection.call(1, QUEUE.Purge(queue=name, nowait=True))
    connection.call(1, QUEUE.Declare(queue=name, passive=True, nowait=True))
    connection.call(1, QUEUE.Delete(queue=name, nowait=True))
    connection.call(1, QUEUE.Declare(queue=name, passive=True, nowait=True))


@scenario
def a_name_of_255_octets(peer):
    connection = peer.open()
    name = peer.name("q").ljust(255, "x")
    connection.call(1, QUEUE.Declare(queue=name))
    connection.call(1, spec.Basic.Get(queue=name))


@scenario
def length_limit_drops_the_head(peer):
    connection, name = filled(peer, 3, arguments={"x-max-length": 2})
    connection.call(1, QUEUE.Declare(queue=name, passive=True, arguments={}))
    connection.call(1, spec.Basic.Get(queue=name, no_ack=True))


@scenario
def length_limit_refuses_publishes(peer):
    connection, name = with_queue(peer, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    connection.call(1, spec.Confirm.Select())
    connection.call(1, spec.Basic.Publish(0, "", name), b"1")
    connection.call(1, spec.Basic.Publish(0, "", name), b"2")


@scenario
def no_time_to_live(peer):
    connection, name = filled(peer, 1, arguments={"x-message-ttl": 0})
    connection.call(1, spec.Basic.Get(queue=name))


@scenario
def priorities(peer):
    connection, name = with_queue(peer, arguments={"x-max-priority": 3})
    for number, priority in enumerate([None, 1, 5, 3, 0, 2]):
        connection.publish(1, "", name, str(number).encode(), priority=priority)
    connection.settle()
    for _ in range(6):
        connection.call(1, spec.Basic.Get(queue=name, no_ack=True))
