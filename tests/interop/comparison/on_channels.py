"""Channels: opening, closing, flow, content out of place."""

import struct

from pika import spec

from .scenario import scenario

CHANNEL = spec.Channel


@scenario
def open_twice(peer):
    peer.open().call(1, CHANNEL.Open())


@scenario
def use_before_open(peer):
    peer.open().call(7, spec.Basic.Qos())


@scenario
def close_and_open_again(peer):
    connection = peer.open()
    connection.call(1, CHANNEL.Close(200, "bye", 0, 0))
    connection.call(1, CHANNEL.Open())
    connection.call(1, spec.Basic.Qos())


@scenario
def close_of_one_that_is_not_open(peer):
    peer.open().call(5, CHANNEL.Close(200, "bye", 0, 0))


@scenario
def close_ok_out_of_the_blue(peer):
    connection = peer.open()
    connection.method(1, CHANNEL.CloseOk())
    connection.call(1, spec.Basic.Qos())


@scenario
def an_error_leaves_the_other_channels(peer):
    connection = peer.open()
    connection.quietly(2, CHANNEL.Open())
    connection.call(1, spec.Queue.Declare(queue=peer.name("none"), passive=True))
    connection.call(2, spec.Basic.Qos())
    connection.call(1, CHANNEL.Open())


@scenario
def flow_active(peer):
    peer.open().call(1, CHANNEL.Flow(True))


@scenario
def flow_inactive(peer):
    peer.open().call(1, CHANNEL.Flow(False))


@scenario
def channel_65535(peer):
    connection = peer.open()
    connection.call(2047, CHANNEL.Open())


@scenario
def header_without_a_publish(peer):
    connection = peer.open()
    connection.content(1, b"")
    connection.settle()


@scenario
def body_without_a_publish(peer):
    connection = peer.open()
    connection.frame(3, 1, b"x")
    connection.settle()


@scenario
def method_instead_of_a_header(peer):
    connection = peer.open()
    connection.method(1, spec.Basic.Publish(0, "", "q"))
    connection.call(1, spec.Basic.Qos())


@scenario
def method_instead_of_a_body(peer):
    connection = peer.open()
    connection.method(1, spec.Basic.Publish(0, "", "q"))
    connection.frame(2, 1, struct.pack(">HHQH", 60, 0, 5, 0))
    connection.call(1, spec.Basic.Qos())


@scenario(deviates="the close names no method: the frame is refused before its channel is looked at")
def header_of_another_class(peer):
    connection = peer.open()
    connection.method(1, spec.Basic.Publish(0, "", "q"))
    connection.frame(2, 1, struct.pack(">HHQH", 50, 0, 5, 0))
    connection.settle()


@scenario(deviates="more body than announced: RabbitMQ 3.10 waits, silent, we close with 501")
def more_body_than_announced(peer):
    connection = peer.open()
    connection.method(1, spec.Basic.Publish(0, "", "q"))
    connection.frame(2, 1, struct.pack(">HHQH", 60, 0, 2, 0))
    connection.frame(3, 1, b"xxx")
    connection.settle()


@scenario
def empty_bodies_inside_a_body(peer):
    connection = peer.open()
    queue = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=queue, exclusive=True))
    connection.method(1, spec.Basic.Publish(0, "", queue))
    connection.frame(2, 1, struct.pack(">HHQH", 60, 0, 2, 0))
    for part in [b"", b"a", b"", b"b"]:
        connection.frame(3, 1, part)
    connection.call(1, spec.Basic.Get(queue=queue, no_ack=True))


@scenario
def methods_that_only_brokers_send(peer):
    for number, method in enumerate([spec.Basic.GetEmpty(), spec.Queue.DeclareOk("q", 0, 0)]):
        connection = peer.open()
        connection.call(1, method)


@scenario
def contents_on_two_channels_may_mix(peer):
    connection = peer.open()
    connection.quietly(2, CHANNEL.Open())
    queue = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=queue, exclusive=True))
    for channel in (1, 2):
        connection.method(channel, spec.Basic.Publish(0, "", queue))
    for channel in (1, 2):
        connection.frame(2, channel, struct.pack(">HHQH", 60, 0, 4, 0))
    for part in (b"aa", b"bb"):
        for channel in (2, 1):
            connection.frame(3, channel, part)
    connection.settle()
    connection.call(1, spec.Queue.Declare(queue=queue, passive=True))
    connection.call(1, spec.Basic.Get(queue=queue, no_ack=True))
