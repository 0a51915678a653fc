"""Consuming, getting, acknowledging, recovering, prefetch."""

from pika import spec

from .scenario import scenario

BASIC = spec.Basic


def filled(peer, count, **options):
    connection = peer.open()
    name = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=name, **options))
    for number in range(count):
        connection.publish(1, "", name, str(number).encode())
    connection.settle()
    return connection, name


@scenario
def get_empty(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Get(queue=name))


@scenario
def get_an_unknown(peer):
    peer.open().call(1, BASIC.Get(queue=peer.name("none")))


@scenario
def get_counts_what_is_left(peer):
    connection, name = filled(peer, 3)
    for no_ack in [True, False]:
        connection.call(1, BASIC.Get(queue=name, no_ack=no_ack))
    connection.call(1, spec.Queue.Declare(queue=name, passive=True))


@scenario
def consume_an_unknown(peer):
    peer.open().call(1, BASIC.Consume(queue=peer.name("none"), consumer_tag="c"))


@scenario
def consume_with_a_tag_of_the_broker(peer):
    connection, name = filled(peer, 1)
    connection.call(1, BASIC.Consume(queue=name))


@scenario
def consume_twice_with_a_tag(peer):
    connection, name = filled(peer, 0)
    for _ in range(2):
        connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))


@scenario
def consume_with_a_tag_of_another_channel(peer):
    connection, name = filled(peer, 0)
    connection.quietly(2, spec.Channel.Open())
    for channel in (1, 2):
        connection.call(channel, BASIC.Consume(queue=name, consumer_tag="c"))


@scenario
def exclusive_consumer_keeps_others_out(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", exclusive=True))
    other = peer.open()
    other.call(1, BASIC.Consume(queue=name, consumer_tag="d"))


@scenario
def exclusive_consumer_comes_too_late(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="d", exclusive=True))


@scenario
def get_beside_an_exclusive_consumer(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Qos(prefetch_count=1))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", exclusive=True))
    for body in (b"1", b"2"):
        connection.publish(1, "", name, body)
    connection.settle()
    peer.open().call(1, BASIC.Get(queue=name))


@scenario
def consume_nowait(peer):
    connection, name = filled(peer, 1)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", nowait=True))
    connection.call(1, BASIC.Cancel("c", nowait=True))


@scenario
def cancel_an_unknown_tag(peer):
    connection = peer.open()
    connection.call(1, BASIC.Cancel("none"))
    connection.call(1, BASIC.Qos())


@scenario
def cancel_keeps_what_is_unacked(peer):
    connection, name = filled(peer, 2)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Cancel("c"))
    connection.call(1, spec.Queue.Declare(queue=name, passive=True))
    connection.call(1, BASIC.Ack(0, True))
    connection.call(1, BASIC.Recover(True))
    connection.call(1, spec.Queue.Declare(queue=name, passive=True))


@scenario
def no_local_is_ignored(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", no_local=True))
    connection.publish(1, "", name)
    connection.settle()


@scenario
def consumer_priorities(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Qos(prefetch_count=1))
    for tag, priority in [("low", -5), ("high", 10), ("none", None)]:
        arguments = {} if priority is None else {"x-priority": priority}
        connection.call(1, BASIC.Consume(queue=name, consumer_tag=tag, arguments=arguments))
    for number in range(4):
        connection.call(1, BASIC.Publish(0, "", name), str(number).encode())


@scenario
def consumer_priority_that_is_no_number(peer):
    connection, name = filled(peer, 0)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", arguments={"x-priority": "high"}))


@scenario(deviates="the next single active consumer: when what was delivered before is settled or back")
def single_active_consumer(peer):
    connection, name = filled(peer, 0, arguments={"x-single-active-consumer": True})
    for tag in "ab":
        connection.call(1, BASIC.Consume(queue=name, consumer_tag=tag))
    for number in range(2):
        connection.call(1, BASIC.Publish(0, "", name), str(number).encode())
    connection.call(1, BASIC.Cancel("a"))
    connection.call(1, BASIC.Publish(0, "", name), b"2")


@scenario
def exclusive_consumer_of_a_single_active_queue(peer):
    connection, name = filled(peer, 0, arguments={"x-single-active-consumer": True})
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", exclusive=True))


@scenario
def consumers_take_turns(peer):
    connection, name = filled(peer, 0)
    for tag in "abc":
        connection.call(1, BASIC.Consume(queue=name, consumer_tag=tag))
    for number in range(7):
        connection.call(1, BASIC.Publish(0, "", name), str(number).encode())


@scenario
def prefetch_of_a_consumer(peer):
    connection, name = filled(peer, 5)
    connection.call(1, BASIC.Qos(prefetch_count=2))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Ack(1))
    connection.call(1, BASIC.Qos(prefetch_count=4))
    connection.call(1, BASIC.Ack(3, True))


@scenario
def prefetch_of_a_channel(peer):
    connection, name = filled(peer, 6)
    connection.call(1, BASIC.Qos(prefetch_count=3, global_qos=True))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Qos(prefetch_count=5, global_qos=True))
    connection.call(1, BASIC.Ack(0, True))


@scenario
def prefetch_of_octets(peer):
    peer.open().call(1, BASIC.Qos(prefetch_size=10))


@scenario
def get_ignores_prefetch(peer):
    connection, name = filled(peer, 3)
    connection.call(1, BASIC.Qos(prefetch_count=1, global_qos=True))
    for _ in range(2):
        connection.call(1, BASIC.Get(queue=name))


def held(peer, count):
    connection, name = filled(peer, count)
    for _ in range(count):
        connection.method(1, BASIC.Get(queue=name))
    connection.settle()
    connection.heard.clear()
    return connection, name


@scenario
def ack_an_unknown_tag(peer):
    held(peer, 1)[0].call(1, BASIC.Ack(2))


@scenario
def ack_twice(peer):
    connection, _ = held(peer, 2)
    connection.call(1, BASIC.Ack(1))
    connection.call(1, BASIC.Ack(1))


@scenario
def ack_without_a_tag(peer):
    held(peer, 1)[0].call(1, BASIC.Ack(0))


@scenario
def ack_of_another_channel(peer):
    connection, _ = held(peer, 1)
    connection.quietly(2, spec.Channel.Open())
    connection.call(2, BASIC.Ack(1))


@scenario
def ack_multiple_beyond_the_last(peer):
    held(peer, 2)[0].call(1, BASIC.Ack(9, True))


@scenario
def ack_multiple_of_nothing(peer):
    connection = peer.open()
    connection.call(1, BASIC.Ack(0, True))
    connection.call(1, BASIC.Qos())


@scenario
def nack_multiple_of_all(peer):
    connection, name = held(peer, 3)
    connection.call(1, BASIC.Nack(0, True, True))
    for _ in range(3):
        connection.call(1, BASIC.Get(queue=name))


@scenario
def nack_in_the_middle_returns_to_its_place(peer):
    connection, name = held(peer, 4)
    connection.call(1, BASIC.Nack(2, False, True))
    connection.call(1, BASIC.Nack(1, False, True))
    connection.call(1, BASIC.Nack(3, False, False))
    for _ in range(3):
        connection.call(1, BASIC.Get(queue=name, no_ack=True))


@scenario
def nack_an_unknown_tag(peer):
    held(peer, 1)[0].call(1, BASIC.Nack(5, False, True))


@scenario
def reject_an_unknown_tag(peer):
    held(peer, 1)[0].call(1, BASIC.Reject(5, True))


@scenario
def reject_of_no_tag(peer):
    held(peer, 1)[0].call(1, BASIC.Reject(0, True))


@scenario
def reject_with_requeue_comes_back(peer):
    connection, name = filled(peer, 1)
    connection.call(1, BASIC.Qos(prefetch_count=1))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Reject(1, True))
    connection.call(1, BASIC.Ack(2))


@scenario
def ack_of_what_needs_none(peer):
    connection, name = filled(peer, 1)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c", no_ack=True))
    connection.call(1, BASIC.Ack(1))


@scenario
def recover_with_requeue(peer):
    connection, name = filled(peer, 2)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Recover(True))


@scenario
def recover_without_requeue(peer):
    connection, name = filled(peer, 2)
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Recover(False))


@scenario
def recover_async(peer):
    connection, name = filled(peer, 1)
    connection.call(1, BASIC.Get(queue=name))
    connection.call(1, BASIC.RecoverAsync(True))
    connection.call(1, BASIC.Get(queue=name))


@scenario
def what_a_closed_channel_held_comes_back(peer):
    connection, name = held(peer, 3)
    connection.call(1, BASIC.Ack(2))
    connection.call(1, spec.Channel.Close(200, "bye", 0, 0))
    connection.call(1, spec.Channel.Open())
    for _ in range(3):
        connection.call(1, BASIC.Get(queue=name))


@scenario
def what_a_vanished_connection_held_comes_back(peer):
    connection, name = held(peer, 2)
    connection.abort()
    other = peer.open()
    other.settle()
    for _ in range(3):
        other.call(1, BASIC.Get(queue=name))


@scenario
def redelivered_is_told_to_the_next(peer):
    connection, name = filled(peer, 2)
    connection.call(1, BASIC.Qos(prefetch_count=1))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    other = peer.open()
    other.call(1, BASIC.Consume(queue=name, consumer_tag="d"))
    connection.call(1, spec.Channel.Close(200, "bye", 0, 0))
    other.settle()


@scenario
def tags_count_over_get_and_deliver(peer):
    connection, name = filled(peer, 3)
    connection.call(1, BASIC.Get(queue=name))
    connection.call(1, BASIC.Consume(queue=name, consumer_tag="c"))
    connection.call(1, BASIC.Get(queue=name))
