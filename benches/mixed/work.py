"""Ten kinds of work as services do it, each by pika on connections of its own. Every kind ends where it began: what the
broker holds more of afterwards, it keeps for itself. A kind returns how many messages (or rounds) it did; messages that
should have come and did not are added to `ground.lost`."""

import base64
import json
import os
import random
import socket
import struct
import time
import urllib.error
import urllib.request
import uuid

import pika

PERSISTENT = pika.BasicProperties(delivery_mode=2)
PATIENCE_SECONDS = 60


class Ground:
    """Where the broker listens, and what did not come back."""

    def __init__(self, amqp, admin, metrics):
        self.amqp, self.admin, self.metrics, self.lost = amqp, admin, metrics, []

    def connect(self, vhost="/", user="guest", password="guest"):
        credentials = pika.PlainCredentials(user, password)
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.amqp, vhost, credentials, heartbeat=30))

    def request(self, method, path, body=None):
        login = base64.b64encode(b"guest:guest").decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/api{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Basic {login}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            return answer.read()

    def lose(self, queue, count):
        if count > 0:
            self.lost.append((queue, count))


def fresh(kind):
    return f"mixed.{kind}.{uuid.uuid4().hex}"


def work_queue(ground, count=400):
    """Confirmed publishes; some messages are returned once, some rejected. Each must come."""
    queue, connection = fresh("work"), ground.connect()
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    for number in range(count):
        channel.basic_publish("", queue, b"%08d" % number + os.urandom(900), PERSISTENT)
    channel.basic_qos(prefetch_count=20)
    seen = set()
    for method, _, body in channel.consume(queue, inactivity_timeout=PATIENCE_SECONDS):
        if method is None:
            break
        chance = random.random()
        if chance < 0.02 and not method.redelivered:
            channel.basic_nack(method.delivery_tag)
            continue
        if chance > 0.995:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)
        seen.add(int(body[:8]))
        if len(seen) == count:
            break
    ground.lose(queue, count - len(seen))
    channel.cancel()
    channel.queue_delete(queue)
    channel.queue_delete(f"{queue}.dlq")
    connection.close()
    return count


def retry_chain(ground, count=50):
    """Rejected messages wait in a queue with a time to live and come back, three times each."""
    work, wait, connection = fresh("chain"), fresh("wait"), ground.connect()
    channel = connection.channel()
    to = {"x-dead-letter-exchange": ""}
    channel.queue_declare(work, durable=True, arguments={**to, "x-dead-letter-routing-key": wait})
    channel.queue_declare(wait, durable=True, arguments={**to, "x-dead-letter-routing-key": work, "x-message-ttl": 300})
    for _ in range(count):
        channel.basic_publish("", work, b"again", PERSISTENT)
    done, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while done < count and time.monotonic() < deadline:
        method, properties, _ = channel.basic_get(work)
        if method is None:
            time.sleep(0.02)
            continue
        deaths = (properties.headers or {}).get("x-death", [])
        if sum(death["count"] for death in deaths if death["queue"] == wait) < 3:
            channel.basic_reject(method.delivery_tag, requeue=False)
        else:
            channel.basic_ack(method.delivery_tag)
            done += 1
    ground.lose(work, count - done)
    channel.queue_delete(work)
    channel.queue_delete(wait)
    connection.close()
    return count


def sawtooth(ground, count=20_000):
    """A backlog that grows to so many messages and is worked off, acknowledged by 250."""
    queue, connection = fresh("saw"), ground.connect()
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    for _ in range(count):
        channel.basic_publish("", queue, b"x" * 200, PERSISTENT)
    channel.basic_qos(prefetch_count=500)
    got = 0
    for method, _, _ in channel.consume(queue, inactivity_timeout=PATIENCE_SECONDS):
        if method is None:
            break
        got += 1
        if got % 250 == 0 or got == count:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if got == count:
            break
    ground.lose(queue, count - got)
    channel.cancel()
    channel.queue_delete(queue)
    connection.close()
    return count


def large_bodies(ground, count=6):
    """Bodies of 1 to 4 MiB, confirmed and fetched."""
    queue, connection = fresh("large"), ground.connect()
    channel = connection.channel()
    channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", queue, os.urandom(random.randint(1, 4) << 20), PERSISTENT)
    for number in range(count):
        method, _, _ = channel.basic_get(queue)
        if method is None:
            ground.lose(queue, count - number)
            break
        channel.basic_ack(method.delivery_tag)
    channel.queue_delete(queue)
    connection.close()
    return count


def declarations(ground, rounds=20):
    """Exchanges, bindings, queues and consumers that come and go."""
    connection = ground.connect()
    for _ in range(rounds):
        channel, exchange = connection.channel(), fresh("exchange")
        channel.exchange_declare(exchange, random.choice(["direct", "topic", "fanout", "headers"]))
        queue = channel.queue_declare("", exclusive=True).method.queue
        for number in range(10):
            channel.queue_bind(queue, exchange, routing_key=f"a.{number}.#")
        for number in range(10):
            channel.basic_publish(exchange, f"a.{number}.b", b"y" * 100)
        consumer = channel.basic_consume(queue, lambda *_: None, auto_ack=True)
        connection.process_data_events(0)
        channel.basic_cancel(consumer)
        channel.exchange_delete(exchange)
        channel.queue_delete(queue)
        channel.close()
    connection.close()
    return rounds


def priorities_and_expiry(ground, count=1_000):
    """Ten priorities, times to live, and a length beyond which the oldest go."""
    queue, connection = fresh("priorities"), ground.connect()
    channel = connection.channel()
    arguments = {"x-max-priority": 10, "x-max-length": 300, "x-overflow": "drop-head", "x-dead-letter-exchange": "nowhere"}
    channel.queue_declare(queue, durable=True, arguments=arguments)
    for number in range(count):
        expiration = random.choice(["50", "500", "60000"])
        properties = pika.BasicProperties(delivery_mode=2, priority=number % 12, expiration=expiration)
        channel.basic_publish("", queue, b"p" * 300, properties)
    time.sleep(0.7)
    while channel.basic_get(queue, auto_ack=True)[0] is not None:
        pass
    channel.queue_delete(queue)
    connection.close()
    return count


def requests(ground, count=100):
    """Requests and their replies by way of `amq.rabbitmq.reply-to`."""
    queue, server, client = fresh("requests"), ground.connect(), ground.connect()
    serving = server.channel()
    serving.queue_declare(queue, auto_delete=True)

    def reply(channel, method, properties, body):
        channel.basic_publish("", properties.reply_to, body, pika.BasicProperties(correlation_id=properties.correlation_id))
        channel.basic_ack(method.delivery_tag)

    serving.basic_consume(queue, reply)
    asking, answers = client.channel(), []
    asking.basic_consume("amq.rabbitmq.reply-to", lambda *delivery: answers.append(delivery[3]), auto_ack=True)
    for number in range(count):
        properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=str(number))
        asking.basic_publish("", queue, b"ask", properties)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(answers) < count and time.monotonic() < deadline:
        server.process_data_events(0.01)
        client.process_data_events(0.01)
    ground.lose(queue, count - len(answers))
    client.close()
    server.close()
    return count


def cut_connections(ground, count=20):
    """Consumers whose connections are reset with messages in hand, and peers that speak no AMQP."""
    queue = "mixed.cut"
    for _ in range(count):
        connection = ground.connect()
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, arguments={"x-expires": 60_000})
        channel.basic_publish("", queue, b"z" * 1_000)
        channel.basic_qos(prefetch_count=5)
        channel.basic_consume(queue, lambda *_: None)
        connection.process_data_events(0.01)
        # pika knows no such end; with this setting the close of a socket resets it.
        sock = connection._impl._transport._sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    for _ in range(count // 2):
        with socket.create_connection(("127.0.0.1", ground.amqp)) as peer:
            peer.send(random.choice([b"AMQP\0\0\x09\x01", b"GET / HTTP/1.1\r\n\r\n", os.urandom(40)]))
    connection = ground.connect()
    for name in (queue, f"{queue}.dlq"):
        connection.channel().queue_delete(name)
    connection.close()
    return count


def administration(ground, count=50):
    """A virtual host with a user, permissions, a policy and a queue, used and deleted; lists and a scrape."""
    name = fresh("vhost")
    permissions = {"configure": ".*", "write": ".*", "read": ".*"}
    policy = {"pattern": ".*", "definition": {"max-length": 10}, "apply-to": "queues"}
    ground.request("PUT", f"/vhosts/{name}", {})
    ground.request("PUT", f"/users/{name}", {"password": "secret-12345", "tags": "management"})
    ground.request("PUT", f"/permissions/{name}/{name}", permissions)
    ground.request("PUT", f"/policies/{name}/length", policy)
    ground.request("PUT", f"/queues/{name}/q", {"durable": True})
    for path in (f"/queues/{name}", "/queues", "/overview", "/definitions", "/connections"):
        ground.request("GET", path)
    connection = ground.connect(name, name, "secret-12345")
    channel = connection.channel()
    for _ in range(count):
        channel.basic_publish("", "q", b"m", PERSISTENT)
    connection.close()
    ground.request("DELETE", f"/vhosts/{name}")
    ground.request("DELETE", f"/users/{name}")
    ground.scrape()
    return count


# Each kind, and the pause after it in seconds.
KINDS = [
    (work_queue, 0.5), (work_queue, 0.5), (retry_chain, 1), (sawtooth, 5), (large_bodies, 2), (declarations, 1),
    (priorities_and_expiry, 2), (requests, 1), (cut_connections, 2), (administration, 2),
]
