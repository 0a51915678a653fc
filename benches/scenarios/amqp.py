"""Just enough AMQP 0-9-1 for what `forebay bench` does not do: connections that come and go or sit
idle, declaring, many queues, fan-out. Messages leave in prepared bytes, many to a write."""

import socket
import struct
import time

METHOD, HEADER, BODY = 1, 2, 3
FRAME_END = b"\xce"
BASIC = 60
#: How a delivery is settled: `basic.ack`, and `basic.nack` without requeue.
ACK, REJECT = 80, 120
MULTIPLE = b"\x01"
ACK_EVERY = 50


def short(text):
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + FRAME_END


def method(channel, class_id, method_id, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + arguments)


def message(exchange, routing_key, size):
    """A persistent message as bytes."""
    publish = method(1, BASIC, 40, b"\0\0" + short(exchange) + short(routing_key) + b"\0")
    header = frame(HEADER, 1, struct.pack(">HHQHB", BASIC, 0, size, 0x1000, 2))
    return publish + header + frame(BODY, 1, b"x" * size)


def table(entries):
    """Arguments: texts and integers."""
    fields = b""
    for name, value in entries.items():
        if isinstance(value, str):
            encoded = b"S" + struct.pack(">I", len(value.encode())) + value.encode()
        else:
            encoded = b"l" + struct.pack(">q", value)
        fields += short(name) + encoded
    return struct.pack(">I", len(fields)) + fields


class Wire:
    """A connection with channel 1 open."""

    def __init__(self, address, channel=True):
        self.socket = socket.create_connection(address, timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = bytearray()
        # Seconds that one read of frames had to wait.
        self.longest_pause = 0.0
        self.socket.sendall(b"AMQP\0\0\x09\x01")
        self.expect(10, 10)
        login = b"\0guest\0guest"
        self.call(10, 11, bytes(4) + short("PLAIN") + struct.pack(">I", len(login)) + login
                  + short("en_US"), 30, channel=0)
        self.socket.sendall(method(0, 10, 31, struct.pack(">HIH", 2047, 131072, 0)))
        self.call(10, 40, short("/") + short("") + b"\0", 41, channel=0)
        if channel:
            self.call(20, 10, short(""), 11)

    def frames(self):
        """Frames as they come: kind, payload."""
        while True:
            at = 0
            try:
                while len(self.input) - at >= 8:
                    kind, _, size = struct.unpack_from(">BHI", self.input, at)
                    if len(self.input) - at < size + 8:
                        break
                    payload = self.input[at + 7:at + 7 + size]
                    at += size + 8
                    yield kind, payload
            finally:
                # Also when whoever asks has got what he waits for.
                del self.input[:at]
            begin = time.monotonic()
            received = self.socket.recv(1 << 20)
            self.longest_pause = max(self.longest_pause, time.monotonic() - begin)
            if not received:
                raise EOFError("the broker closed the connection")
            self.input += received

    def next_method(self):
        header = self.read(7)
        payload = self.read(struct.unpack(">BHI", header)[2] + 1)[:-1]
        return struct.unpack_from(">HH", payload)

    def read(self, size):
        while len(self.input) < size:
            received = self.socket.recv(1 << 16)
            if not received:
                raise EOFError("the broker closed the connection")
            self.input += received
        taken = bytes(self.input[:size])
        del self.input[:size]
        return taken

    def expect(self, class_id, method_id):
        got = self.next_method()
        if got != (class_id, method_id):
            raise RuntimeError(f"the broker sent method {got}, not {(class_id, method_id)}")

    def call(self, class_id, method_id, arguments, reply, channel=1):
        self.socket.sendall(method(channel, class_id, method_id, arguments))
        self.expect(class_id, reply)

    def declare(self, queue, arguments=None):
        self.call(50, 10, b"\0\0" + short(queue) + b"\x02" + table(arguments or {}), 11)

    def ready(self, queue):
        """Messages ready in a queue."""
        self.socket.sendall(method(1, 50, 10, b"\0\0" + short(queue) + b"\x01" + bytes(4)))
        header = self.read(7)
        payload = self.read(struct.unpack(">BHI", header)[2] + 1)
        return struct.unpack_from(">I", payload, 4 + 1 + payload[4])[0]

    def delete(self, queue):
        self.call(50, 40, b"\0\0" + short(queue) + b"\0", 41)

    def declare_fanout(self, exchange, queues):
        self.call(40, 10, b"\0\0" + short(exchange) + short("fanout") + b"\x02" + bytes(4), 11)
        for queue in queues:
            self.call(50, 20, b"\0\0" + short(queue) + short(exchange) + short("") + b"\0" + bytes(4), 21)

    def delete_exchange(self, exchange):
        self.call(40, 20, b"\0\0" + short(exchange) + b"\0", 21)

    def confirm_select(self):
        self.call(85, 10, b"\0", 11)

    def consume(self, queues, prefetch):
        self.call(BASIC, 10, struct.pack(">IHB", 0, prefetch, 0), 11)
        for queue in queues:
            # Deliveries may come before the answer, so none is asked for.
            self.socket.sendall(method(1, BASIC, 20, b"\0\0" + short(queue) + short(queue) + b"\x08" + bytes(4)))

    def take(self, count, answer=ACK):
        """Receives and settles so many deliveries."""
        taken = 0
        for kind, payload in self.frames():
            if kind == METHOD and struct.unpack_from(">HH", payload) == (BASIC, 60):
                taken += 1
                if taken % ACK_EVERY == 0 or taken == count:
                    tag_at = 4 + 1 + payload[4]
                    self.socket.sendall(method(1, BASIC, answer, payload[tag_at:tag_at + 8] + MULTIPLE))
            elif kind == BODY and taken == count:
                return

    def await_confirms(self, count):
        """Waits until so many are confirmed, in whatever order a broker does that."""
        below, above = 0, set()
        for kind, payload in self.frames():
            if kind == METHOD and struct.unpack_from(">HH", payload) == (BASIC, 80):
                tag, is_multiple = struct.unpack_from(">QB", payload, 4)
                if is_multiple:
                    below = tag
                    above = {other for other in above if other > tag}
                else:
                    above.add(tag)
                if below + len(above) >= count:
                    return

    def close(self):
        self.call(10, 50, struct.pack(">H", 200) + short("") + bytes(4), 51, channel=0)
        self.socket.close()
