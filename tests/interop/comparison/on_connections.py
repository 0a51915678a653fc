"""From the first byte to the last: negotiation, limits, closing."""

import struct

from pika import spec

from .peer import CAPABILITIES
from .scenario import scenario

CONNECTION = spec.Connection


def started(peer):
    connection = peer.socket()
    connection.bytes(b"AMQP\0\0\x09\x01")
    connection.wait(0)
    connection.heard.clear()
    return connection


def tuned(peer, tune, properties=CAPABILITIES):
    connection = started(peer)
    connection.method(0, CONNECTION.StartOk(properties, "PLAIN", "\0guest\0guest", "en_US"))
    connection.wait(0)
    connection.heard.clear()
    connection.method(0, tune)
    return connection


@scenario
def header_of_amqp_1_0(peer):
    connection = peer.socket()
    connection.bytes(b"AMQP\0\1\0\0")
    connection.settle_to_the_end()


@scenario
def header_of_amqp_0_9(peer):
    connection = peer.socket()
    connection.bytes(b"AMQP\1\1\0\x09")
    connection.wait(0)
    connection.heard[0] = [connection.heard[0][0].split()[1]]


@scenario
def header_of_something_else(peer):
    connection = peer.socket()
    connection.bytes(b"GET / HTTP/1.1\r\n\r\n")
    connection.settle_to_the_end()


@scenario(deviates="during the handshake RabbitMQ ends the socket without a word, we say why")
def unknown_mechanism(peer):
    connection = started(peer)
    connection.call(0, CONNECTION.StartOk(CAPABILITIES, "SCRAM", "x", "en_US"))
    connection.settle_to_the_end()


@scenario(deviates="during the handshake RabbitMQ ends the socket without a word, we say why")
def plain_without_password(peer):
    connection = started(peer)
    connection.call(0, CONNECTION.StartOk(CAPABILITIES, "PLAIN", "guest", "en_US"))
    connection.settle_to_the_end()


@scenario
def wrong_password(peer):
    connection = started(peer)
    connection.method(0, CONNECTION.StartOk(CAPABILITIES, "PLAIN", "\0guest\0wrong", "en_US"))
    connection.wait(0)
    connection.settle()


@scenario
def unknown_vhost(peer):
    connection = tuned(peer, CONNECTION.TuneOk(2047, 131072, 0))
    connection.call(0, CONNECTION.Open(peer.name("nowhere")))
    connection.settle_to_the_end()


@scenario(deviates="during the handshake RabbitMQ ends the socket without a word, we say why")
def frame_max_below_the_least(peer):
    tuned(peer, CONNECTION.TuneOk(2047, 4095, 0)).settle_to_the_end()


@scenario(deviates="0 in `tune-ok` is above the proposal to RabbitMQ, which ends the socket; to us it is the proposal")
def no_limits_wanted(peer):
    connection = tuned(peer, CONNECTION.TuneOk(0, 0, 0))
    connection.method(0, CONNECTION.Open("/"))
    connection.wait(0)


@scenario
def frame_max_of_the_least_splits_bodies(peer):
    connection = peer.open(tune=CONNECTION.TuneOk(2047, 4096, 0))
    queue = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=queue, exclusive=True))
    connection.method(1, spec.Basic.Publish(0, "", queue))
    connection.bytes(b"\2\0\1\0\0\0\x0e" + struct.pack(">HHQH", 60, 0, 5000, 0) + b"\xce")
    connection.frame(3, 1, b"a" * 4000)
    connection.frame(3, 1, b"a" * 1000)
    connection.call(1, spec.Basic.Get(queue=queue))


@scenario
def heartbeat_of_zero(peer):
    connection = peer.open(tune=CONNECTION.TuneOk(2047, 131072, 0))
    connection.call(1, spec.Basic.Qos())


@scenario
def heartbeat_while_open(peer):
    connection = peer.open()
    connection.frame(8, 0, b"")
    connection.call(1, spec.Basic.Qos())


@scenario
def channel_max_of_one(peer):
    connection = peer.open(tune=CONNECTION.TuneOk(1, 131072, 0))
    connection.call(1, spec.Basic.Qos())


@scenario(deviates="a channel above `channel-max`: RabbitMQ 3.10 is silent, we close with 530")
def channel_above_the_negotiated(peer):
    connection = peer.open(tune=CONNECTION.TuneOk(1, 131072, 0))
    connection.call(2, spec.Channel.Open())


@scenario(deviates="values above the proposal in `tune-ok`: RabbitMQ ends the socket, we close with 530")
def frame_max_above_the_proposal(peer):
    tuned(peer, CONNECTION.TuneOk(2047, 1 << 24, 0)).settle_to_the_end()


@scenario(deviates="during the handshake RabbitMQ ends the socket without a word, we say why")
def open_before_tune_ok(peer):
    connection = started(peer)
    connection.method(0, CONNECTION.StartOk(CAPABILITIES, "PLAIN", "\0guest\0guest", "en_US"))
    connection.wait(0)
    connection.heard.clear()
    connection.call(0, CONNECTION.Open("/"))
    connection.settle_to_the_end()


@scenario
def close_and_close_ok(peer):
    connection = peer.open()
    connection.call(0, CONNECTION.Close(200, "bye", 0, 0))


@scenario
def channel_method_on_channel_0(peer):
    peer.open().call(0, spec.Channel.Open())


@scenario
def connection_method_on_a_channel(peer):
    peer.open().call(1, CONNECTION.Close(200, "bye", 0, 0))


@scenario
def tune_ok_once_more(peer):
    peer.open().call(0, CONNECTION.TuneOk(2047, 131072, 0))


@scenario
def update_secret(peer):
    connection = peer.open()
    connection.call(0, CONNECTION.UpdateSecret("guest", "renewed"))
    connection.call(1, spec.Basic.Qos())


@scenario
def unknown_frame_type(peer):
    connection = peer.open()
    connection.frame(4, 1, b"xxxx")
    connection.settle()


@scenario
def wrong_end_of_a_frame(peer):
    connection = peer.open()
    connection.frame(1, 1, struct.pack(">HHB", 90, 10, 0), end=0)
    connection.settle()


@scenario
def frame_above_the_negotiated(peer):
    connection = peer.open(tune=CONNECTION.TuneOk(2047, 4096, 0))
    connection.frame(1, 1, b"x" * 5000)
    connection.settle()


@scenario(deviates="unknown class or method: RabbitMQ ends the socket without a word, we close with 540")
def unknown_class(peer):
    connection = peer.open()
    connection.frame(1, 1, struct.pack(">HH", 99, 10))
    connection.settle()


@scenario(deviates="unknown class or method: RabbitMQ ends the socket without a word, we close with 540")
def unknown_method(peer):
    connection = peer.open()
    connection.frame(1, 1, struct.pack(">HH", 60, 99))
    connection.settle()


@scenario
def method_cut_short(peer):
    connection = peer.open()
    connection.frame(1, 1, struct.pack(">HHH", 50, 10, 0) + b"\x05ab")
    connection.settle()


@scenario
def octets_after_a_method(peer):
    connection = peer.open()
    connection.frame(1, 1, struct.pack(">HHB", 90, 10, 0))
    connection.settle()


@scenario
def connection_blocked_is_not_the_clients_word(peer):
    peer.open().call(0, CONNECTION.Blocked("no"))


@scenario
def without_capabilities_a_consumer_is_not_told(peer):
    connection = peer.open(properties={})
    queue = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=queue))
    connection.call(1, spec.Basic.Consume(queue=queue, consumer_tag="c"))
    connection.call(1, spec.Queue.Delete(queue=queue))
