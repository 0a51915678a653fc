"""A broker as a scenario sees it: raw connections, whose frames are written down.

What is written down is what a client can act on: methods with their fields, properties byte for
byte, bodies, the end of the socket. Names that differ from run to run are written as `~`, names
that a broker made up as `amq.gen-*`, and of a reply text only the constant in front of it.
"""

import re
import socket
import struct
import time

from pika import frame, spec

PATIENCE_SECONDS = 10
"""So long an answer that must come may take."""

COUNTED = re.compile(
    "2000000000(1a10782d64656c69766572792d636f756e74|180e782d72657475726e2d636f756e74)6c[0-9a-f]{16}"
)
"""A header `x-delivery-count` or `x-return-count` and nothing else. We count on every queue, RabbitMQ on
quorum queues."""

CAPABILITIES = {
    "capabilities": {
        "authentication_failure_close": True,
        "basic.nack": True,
        "connection.blocked": True,
        "consumer_cancel_notify": True,
        "publisher_confirms": True,
    }
}


class Peer:
    """A broker during one scenario."""

    def __init__(self, address, prefix, silence_seconds):
        """`silence_seconds`: so long nothing has to come before a scenario goes on."""
        host, _, port = address.rpartition(":")
        self.address = (host, int(port))
        self.prefix = prefix
        self.silence_seconds = silence_seconds
        self.connections = []
        self.queues = []
        self.exchanges = []

    def name(self, name):
        """A name that only this run uses."""
        return f"{self.prefix}.{name}"

    def socket(self):
        """A connection on which nothing was said."""
        connection = Connection(self, len(self.connections) + 1)
        self.connections.append(connection)
        return connection

    def open(self, **options):
        """A connection with channel 1 open."""
        connection = self.socket()
        connection.open(**options)
        connection.quietly(1, spec.Channel.Open())
        return connection

    def transcript(self):
        """All connections one after the other, each channel by channel: their frames may interleave."""
        lines = []
        for connection in self.connections:
            for channel in sorted(connection.heard):
                heard = connection.heard[channel]
                lines += [f"{connection.number}.{channel} {self.plain(line)}" for line in heard]
        return lines

    def plain(self, text):
        text = text.replace(self.prefix, "~").replace(self.prefix.encode().hex(), "7e")
        return re.sub(r"amq\.(gen|ctag)-[\w\-]+", r"amq.\1-*", text)

    def clean(self):
        for connection in self.connections:
            connection.abort()
        cleaner = Connection(self, 0)
        cleaner.open()
        for number, method in enumerate(
            [spec.Queue.Delete(queue=name) for name in self.queues]
            + [spec.Exchange.Delete(exchange=name) for name in self.exchanges],
            start=1,
        ):
            cleaner.quietly(number, spec.Channel.Open())
            cleaner.quietly(number, method)
        cleaner.abort()


class Connection:
    """One socket. `heard` has what came, by channel."""

    def __init__(self, peer, number):
        self.peer = peer
        self.number = number
        self.heard = {}
        self.is_closed = False
        self.ends = False
        self.buffer = b""
        self.socket = socket.create_connection(peer.address, timeout=PATIENCE_SECONDS)

    def open(self, user="guest", password="guest", vhost="/", tune=None, properties=CAPABILITIES):
        """From the protocol header to open-ok, without a word in the transcript."""
        self.bytes(b"AMQP\0\0\x09\x01")
        self.wait(0)
        response = f"\0{user}\0{password}"
        self.method(0, spec.Connection.StartOk(properties, "PLAIN", response, "en_US"))
        self.wait(0)
        self.method(0, tune or spec.Connection.TuneOk(2047, 131072, 0))
        self.method(0, spec.Connection.Open(vhost))
        self.wait(0)
        self.heard.clear()

    def bytes(self, bytes):
        """Sends anything at all."""
        try:
            self.socket.sendall(bytes)
        except OSError:
            self.end()

    def method(self, channel, method):
        """Sends a method and goes on."""
        if isinstance(method, spec.Queue.Declare) and method.queue.startswith(self.peer.prefix):
            self.peer.queues.append(method.queue)
        if isinstance(method, spec.Exchange.Declare) and method.exchange.startswith(self.peer.prefix):
            self.peer.exchanges.append(method.exchange)
        self.bytes(frame.Method(channel, method).marshal())

    def content(self, channel, body=b"", properties=None, raw=None):
        """Sends a content header and a body; `raw` are flags and values as they are to be sent."""
        if raw is None:
            properties = properties or spec.BasicProperties()
            self.bytes(frame.Header(channel, len(body), properties).marshal())
        else:
            payload = struct.pack(">HHQ", 60, 0, len(body)) + raw
            self.frame(2, channel, payload)
        if body:
            self.bytes(frame.Body(channel, body).marshal())

    def frame(self, kind, channel, payload, end=0xCE):
        """Sends a frame that need not be a good one."""
        self.bytes(struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([end]))

    def publish(self, channel, exchange, key, body=b"x", mandatory=False, immediate=False, raw=None, **properties):
        """Sends a message and goes on."""
        method = spec.Basic.Publish(0, exchange, key, mandatory, immediate)
        self.method(channel, method)
        self.content(channel, body, spec.BasicProperties(**properties), raw)

    def call(self, channel, method, body=None, **properties):
        """Sends a method, with content when there is a body, and writes down what comes of it."""
        self.note(channel, f"> {describe(method)}")
        self.method(channel, method)
        if body is not None:
            self.content(channel, body, spec.BasicProperties(**properties))
        self.settle()

    def quietly(self, channel, method):
        """The same without a word in the transcript; returns the answer."""
        self.method(channel, method)
        answer = self.wait(channel)
        self.heard.clear()
        return answer

    def note(self, channel, text):
        """Writes a line of the scenario's own."""
        self.heard.setdefault(channel, []).append(text)

    def settle(self):
        """Writes down what comes until nothing does."""
        while not self.is_closed and self.read(self.peer.silence_seconds):
            pass
        if self.ends:
            self.settle_to_the_end()

    def settle_to_the_end(self):
        """Writes down what comes until the socket ends, which may take a broker some seconds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_closed and time.monotonic() < deadline:
            self.read(PATIENCE_SECONDS)

    def wait(self, channel):
        """Writes down what comes until something came on a channel; returns it."""
        before = len(self.heard.get(channel, []))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.heard.get(channel, [])) == before:
            if self.is_closed or time.monotonic() > deadline:
                return None
            self.read(PATIENCE_SECONDS)
        return self.heard[channel][-1]

    def read(self, seconds):
        """One frame into the transcript; whether one came in time."""
        deadline = time.monotonic() + seconds
        while True:
            if self.take_frame():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                bytes = self.socket.recv(1 << 16)
            except TimeoutError:
                return False
            except OSError:
                bytes = b""
            if not bytes:
                self.end()
                return False
            self.buffer += bytes

    def take_frame(self):
        if self.buffer.startswith(b"AMQP") and len(self.buffer) >= 8:
            self.note(0, f"< header {self.buffer[4:8].hex()}")
            self.buffer = self.buffer[8:]
            return True
        size, got = frame.decode_frame(self.buffer)
        if got is None:
            return False
        if isinstance(got, frame.Header):
            properties = self.buffer[7 + 12 : size - 1].hex()
            self.note(got.channel_number, f"< properties {COUNTED.sub('0000', properties)}")
        elif isinstance(got, frame.Body):
            self.note(got.channel_number, f"< body {got.fragment!r}")
        elif isinstance(got, frame.Method):
            self.note(got.channel_number, f"< {describe(got.method, is_heard=True)}")
            self.answer_close(got.channel_number, got.method)
        self.buffer = self.buffer[size:]
        return True

    def answer_close(self, channel, method):
        if isinstance(method, spec.Channel.Close):
            self.method(channel, spec.Channel.CloseOk())
        elif isinstance(method, spec.Connection.Close):
            self.method(0, spec.Connection.CloseOk())
            self.ends = True

    def end(self):
        if not self.is_closed:
            self.note(0, "< end of the socket")
        self.is_closed = True

    def abort(self):
        """Ends the socket without a word."""
        self.socket.close()
        self.is_closed = True


def describe(method, is_heard=False):
    """A method with the fields that matter."""
    unsaid = {"ticket", "nowait", "cluster_id", "channel_id", "out_of_band", "insist", "known_hosts"}
    fields = {name: value for name, value in sorted(vars(method).items()) if name not in unsaid}
    if isinstance(method, spec.Basic.Nack) and is_heard:
        # Which of its fields say something is the broker's business: confirms may be gathered.
        fields = {"delivery_tag": method.delivery_tag}
    if "reply_text" in fields:
        fields["reply_text"] = fields["reply_text"].split(" - ")[0]
    return f"{method.NAME} " + " ".join(f"{name}={value!r}" for name, value in fields.items())
