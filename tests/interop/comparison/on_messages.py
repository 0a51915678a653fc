"""Publishing, returning, confirming, what survives of a message, transactions."""

import struct

from pika import spec

from .scenario import scenario

BASIC = spec.Basic


def with_queue(peer, **options):
    connection = peer.open()
    name = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=name, **options))
    return connection, name


def get_all(connection, queue, channel=1):
    connection.settle()
    for _ in range(12):
        connection.call(channel, BASIC.Get(queue=queue, no_ack=True))
        if not connection.heard[channel][-1].startswith(("< body", "< properties")):
            break


@scenario
def mandatory_without_a_route(peer):
    connection = peer.open()
    connection.publish(1, "amq.direct", peer.name("none"), b"body", mandatory=True, content_type="a/b", headers={"a": 1})
    connection.settle()


@scenario
def mandatory_with_confirms(peer):
    connection, name = with_queue(peer)
    connection.call(1, spec.Confirm.Select())
    for key in [peer.name("none"), name, peer.name("none")]:
        connection.call(1, BASIC.Publish(0, "", key, True), b"x")


@scenario
def immediate(peer):
    connection, name = with_queue(peer)
    connection.call(1, BASIC.Publish(0, "", name, False, True), b"x")


@scenario
def confirms_count_from_one(peer):
    connection, name = with_queue(peer)
    connection.publish(1, "", name)
    connection.call(1, spec.Confirm.Select())
    connection.call(1, spec.Confirm.Select())
    connection.call(1, BASIC.Publish(0, "", name), b"x")
    connection.call(1, BASIC.Publish(0, "", name), b"x", delivery_mode=2)


@scenario
def confirm_and_tx(peer):
    connection = peer.open()
    connection.call(1, spec.Confirm.Select())
    connection.call(1, spec.Tx.Select())


@scenario
def tx_and_confirm(peer):
    connection = peer.open()
    connection.call(1, spec.Tx.Select())
    connection.call(1, spec.Confirm.Select())


@scenario
def every_property_survives_octet_for_octet(peer):
    connection, name = with_queue(peer)
    short = lambda text: bytes([len(text)]) + text
    table = b"".join(
        short(key) + value
        for key, value in [
            (b"t", b"t\1"), (b"b", b"b\xff"), (b"B", b"B\xff"), (b"s", b"s\xff\xfe"), (b"u", b"u\xff\xfe"),
            (b"I", b"I\xff\xff\xff\xfe"), (b"i", b"i\xff\xff\xff\xfe"), (b"l", b"l" + b"\xfe" * 8),
            (b"f", b"f" + struct.pack(">f", 1.5)), (b"d", b"d" + struct.pack(">d", -2.25)),
            (b"D", b"D\2\0\0\1\0"), (b"S", b"S\0\0\0\3\xff\0a"), (b"x", b"x\0\0\0\2\0\xff"),
            (b"A", b"A\0\0\0\7I\0\0\0\1t\0"), (b"T", b"T" + b"\0" * 7 + b"\1"), (b"V", b"V"),
            (b"F", b"F\0\0\0\3\1aV"), (b"twice", b"t\1"), (b"twice", b"t\0"),
        ]
    )
    raw = struct.pack(">H", 0xFFFC - 0x10) + short(b"a/b") + short(b"gzip") + struct.pack(">I", len(table)) + table
    raw += b"\2\7" + short(b"correlation") + short(b"reply") + short(b"60000") + short(b"message")
    raw += b"\0" * 7 + b"\5" + short(b"type") + short(b"app") + short(b"cluster")
    connection.publish(1, "", name, raw=raw)
    get_all(connection, name)


@scenario(deviates="malformed properties: RabbitMQ closes with 541, we with 502")
def properties_cut_short(peer):
    connection, name = with_queue(peer)
    connection.publish(1, "", name, raw=b"\x80\0\x09abc")
    connection.settle()
    get_all(connection, name)


@scenario
def an_empty_body(peer):
    connection, name = with_queue(peer)
    connection.publish(1, "", name, b"")
    get_all(connection, name)


@scenario
def user_id_of_oneself(peer):
    connection, name = with_queue(peer)
    connection.publish(1, "", name, user_id="guest")
    get_all(connection, name)


@scenario
def user_id_of_another(peer):
    connection, name = with_queue(peer)
    connection.call(1, BASIC.Publish(0, "", name), b"x", user_id="someone")


@scenario
def expiration_that_is_no_number(peer):
    for wrong in ["soon", "-1", "1.5", "", "99999999999", "5 "]:
        connection, name = with_queue(peer)
        connection.call(1, BASIC.Publish(0, "", name), b"x", expiration=wrong)


@scenario
def expiration_of_nothing(peer):
    connection, name = with_queue(peer)
    connection.publish(1, "", name, expiration="0")
    get_all(connection, name)


@scenario
def carbon_copies(peer):
    connection, name = with_queue(peer)
    others = [peer.name(other) for other in ("copy", "blind")]
    for other in others:
        connection.quietly(1, spec.Queue.Declare(queue=other))
    connection.publish(1, "", name, headers={"CC": [others[0], name], "BCC": [others[1]], "a": 1})
    for queue in [name, *others]:
        get_all(connection, queue)


@scenario
def carbon_copies_of_a_wrong_type(peer):
    for headers in [{"CC": "text"}, {"BCC": 5}, {"CC": [1, 2]}]:
        connection, name = with_queue(peer)
        connection.call(1, BASIC.Publish(0, "", name), b"x", headers=headers)
        get_all(connection, name)


@scenario
def tx_without_select(peer):
    for method in [spec.Tx.Commit(), spec.Tx.Rollback()]:
        peer.open().call(1, method)


@scenario
def tx_commit(peer):
    connection, name = with_queue(peer)
    connection.call(1, spec.Tx.Select())
    connection.publish(1, "", name, b"1")
    connection.call(1, spec.Queue.Declare(queue=name, passive=True))
    connection.call(1, spec.Tx.Commit())
    connection.call(1, BASIC.Get(queue=name))
    connection.call(1, BASIC.Ack(1))
    connection.call(1, spec.Tx.Rollback())
    connection.call(1, BASIC.Ack(1))
    connection.call(1, spec.Tx.Commit())
    connection.call(1, spec.Queue.Declare(queue=name, passive=True))


@scenario
def tx_rollback_forgets_publishes(peer):
    connection, name = with_queue(peer)
    connection.call(1, spec.Tx.Select())
    connection.publish(1, "", name, b"1")
    connection.call(1, spec.Tx.Rollback())
    connection.call(1, spec.Tx.Commit())
    connection.call(1, BASIC.Get(queue=name))


@scenario
def tx_returns_at_commit(peer):
    connection = peer.open()
    connection.call(1, spec.Tx.Select())
    connection.publish(1, "", peer.name("none"), b"1", mandatory=True)
    connection.settle()
    connection.call(1, spec.Tx.Commit())


@scenario
def tx_with_an_unknown_exchange(peer):
    connection = peer.open()
    connection.call(1, spec.Tx.Select())
    connection.call(1, BASIC.Publish(0, peer.name("none"), "k"), b"x")


@scenario
def tx_with_an_unknown_tag(peer):
    connection = peer.open()
    connection.call(1, spec.Tx.Select())
    connection.call(1, BASIC.Ack(7))


@scenario
def tx_ends_with_its_channel(peer):
    connection, name = with_queue(peer)
    connection.call(1, spec.Tx.Select())
    connection.publish(1, "", name, b"1")
    connection.call(1, spec.Channel.Close(200, "bye", 0, 0))
    connection.call(1, spec.Channel.Open())
    connection.call(1, BASIC.Get(queue=name))


@scenario
def reply_to(peer):
    connection = peer.open()
    served = peer.name("served")
    connection.quietly(1, spec.Queue.Declare(queue=served))
    connection.call(1, BASIC.Consume(queue="amq.rabbitmq.reply-to", consumer_tag="c", no_ack=True))
    connection.call(1, spec.Queue.Declare(queue="amq.rabbitmq.reply-to", passive=True))
    connection.publish(1, "", served, b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    connection.settle()
    connection.quietly(1, BASIC.Qos())


@scenario
def reply_to_with_acknowledgements(peer):
    peer.open().call(1, BASIC.Consume(queue="amq.rabbitmq.reply-to"))


@scenario
def reply_to_twice(peer):
    connection = peer.open()
    for tag in "cd":
        connection.call(1, BASIC.Consume(queue="amq.rabbitmq.reply-to", consumer_tag=tag, no_ack=True))


@scenario
def reply_to_without_a_consumer(peer):
    connection, name = with_queue(peer)
    connection.call(1, BASIC.Publish(0, "", name), b"x", reply_to="amq.rabbitmq.reply-to")


@scenario
def reply_to_an_address_of_the_past(peer):
    connection = peer.open()
    connection.call(1, BASIC.Publish(0, "", "amq.rabbitmq.reply-to.g2dkABByZXBseUA", True), b"x")


@scenario
def a_priority_of_255(peer):
    connection, name = with_queue(peer)
    connection.publish(1, "", name, priority=255)
    get_all(connection, name)


@scenario
def a_delivery_mode_of_7(peer):
    connection, name = with_queue(peer, durable=True)
    connection.publish(1, "", name, delivery_mode=7)
    get_all(connection, name)


@scenario
def death_by_reject(peer):
    connection = peer.open()
    dead, name = peer.name("dead"), peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=dead))
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    connection.quietly(1, spec.Queue.Declare(queue=name, arguments=arguments))
    connection.publish(1, "", name)
    connection.settle()
    connection.call(1, BASIC.Get(queue=name))
    connection.call(1, BASIC.Reject(1, False))
    connection.call(1, spec.Queue.Declare(queue=dead, passive=True))
