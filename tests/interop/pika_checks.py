"""What a Python program with pika relies on.

    pika_checks.py HOST PORT [unittest options]

Leaves nothing behind; every queue has a name of its own.
"""

import os
import sys
import threading
import unittest
import uuid

import pika
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAuthenticationError,
    UnroutableError,
)

HOST, PORT = "127.0.0.1", 5672
PATIENCE_SECONDS = 60
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def parameters(**options):
    return pika.ConnectionParameters(HOST, PORT, **options)


class Checks(unittest.TestCase):
    def setUp(self):
        self.connection = pika.BlockingConnection(parameters())
        self.addCleanup(lambda: self.connection.is_open and self.connection.close())
        self.channel = self.connection.channel()

    def queue(self, **options):
        """A durable queue that goes with its test."""
        name = f"pika-{uuid.uuid4()}"
        self.channel.queue_declare(name, durable=True, **options)
        self.addCleanup(self.forget, name)
        return name

    def forget(self, name):
        connection = pika.BlockingConnection(parameters())
        connection.channel().queue_delete(name)
        connection.close()

    def take(self, queue, count, channel=None):
        """The next bodies, acknowledged."""
        channel = channel or self.channel
        bodies = []
        for method, _, body in channel.consume(queue, inactivity_timeout=PATIENCE_SECONDS):
            self.assertIsNotNone(method, "no delivery came")
            bodies.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(bodies) == count:
                break
        channel.cancel()
        return bodies

    def test_publish_with_confirms_and_consume_in_order(self):
        queue = self.queue()
        self.channel.confirm_delivery()
        bodies = [str(number).encode() for number in range(100)]
        for body in bodies:
            self.channel.basic_publish("", queue, body, PERSISTENT)
        self.assertEqual(self.take(queue, 100), bodies)

    def test_a_large_message(self):
        queue = self.queue()
        body = os.urandom(5_000_000)
        self.channel.basic_publish("", queue, body, PERSISTENT)
        self.assertEqual(self.take(queue, 1), [body])

    def test_properties_and_headers(self):
        queue = self.queue()
        headers = {"text": "wert", "number": 2**40, "yes": True, "none": None, "list": [1, "a"],
                   "table": {"inner": -15}}
        sent = pika.BasicProperties(
            content_type="text/plain", content_encoding="utf-8", headers=headers, delivery_mode=2,
            priority=1, correlation_id="c", reply_to="r", message_id="m", timestamp=1_700_000_000,
            type="t", user_id="guest", app_id="a")
        self.channel.basic_publish("", queue, b"", sent)
        _, received, _ = self.channel.basic_get(queue)
        self.assertEqual(received, sent)

    def test_get_tells_what_is_left(self):
        queue = self.queue()
        self.assertEqual(self.channel.basic_get(queue), (None, None, None))
        self.channel.basic_publish("", queue, b"a", PERSISTENT)
        self.channel.basic_publish("", queue, b"b", PERSISTENT)
        method, _, body = self.channel.basic_get(queue)
        self.assertEqual((method.message_count, method.redelivered, body), (1, False, b"a"))

    def test_a_mandatory_message_without_a_route_is_unroutable(self):
        self.channel.confirm_delivery()
        with self.assertRaises(UnroutableError) as caught:
            self.channel.basic_publish("amq.direct", str(uuid.uuid4()), b"x", mandatory=True)
        returned = caught.exception.messages[0]
        self.assertEqual((returned.method.reply_code, returned.body), (312, b"x"))

    def test_nack_with_requeue_delivers_again(self):
        queue = self.queue()
        self.channel.basic_publish("", queue, b"again", PERSISTENT)
        method, _, _ = self.channel.basic_get(queue)
        self.channel.basic_nack(method.delivery_tag, requeue=True)
        for method, _, body in self.channel.consume(queue, inactivity_timeout=PATIENCE_SECONDS):
            self.assertEqual((method.redelivered, body), (True, b"again"))
            self.channel.basic_ack(method.delivery_tag)
            break

    def test_prefetch_bounds_what_a_worker_holds(self):
        queue = self.queue()
        for number in range(5):
            self.channel.basic_publish("", queue, str(number).encode(), PERSISTENT)
        worker = self.connection.channel()
        worker.basic_qos(prefetch_count=2)
        held = []
        worker.basic_consume(queue, lambda _channel, method, _p, body: held.append((method, body)))
        while len(held) < 2:
            self.connection.process_data_events(time_limit=1)
        self.assertEqual(self.channel.queue_declare(queue, passive=True).method.message_count, 3)
        worker.basic_ack(held[0][0].delivery_tag)
        while len(held) < 3:
            self.connection.process_data_events(time_limit=1)
        self.assertEqual([body for _, body in held], [b"0", b"1", b"2"])

    def test_exchanges_of_every_kind(self):
        queue = self.queue()
        for kind, key, routing_key in [("direct", "k", "k"), ("fanout", "", "any"), ("topic", "a.#", "a.b.c")]:
            exchange = f"pika-{uuid.uuid4()}"
            self.channel.exchange_declare(exchange, kind, auto_delete=True)
            self.channel.queue_bind(queue, exchange, key)
            self.channel.basic_publish(exchange, routing_key, kind.encode())
            self.assertEqual(self.take(queue, 1), [kind.encode()])

    def test_a_call_and_its_answer_over_direct_reply_to(self):
        queue = self.queue()
        answers = []
        client = self.connection.channel()
        client.basic_consume("amq.rabbitmq.reply-to", lambda *args: answers.append(args[3]), auto_ack=True)
        client.basic_publish("", queue, b"ask", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        for _, properties, _ in self.channel.consume(queue, auto_ack=True, inactivity_timeout=PATIENCE_SECONDS):
            self.channel.basic_publish("", properties.reply_to, b"answer")
            break
        while not answers:
            self.connection.process_data_events(time_limit=1)
        self.assertEqual(answers, [b"answer"])

    def test_a_consumer_is_told_when_its_queue_goes(self):
        queue = self.queue()
        cancelled = []
        self.channel.add_on_cancel_callback(cancelled.append)
        self.channel.basic_consume(queue, lambda *_: None)
        self.forget(queue)
        while not cancelled:
            self.connection.process_data_events(time_limit=1)

    def test_transactions(self):
        queue = self.queue()
        self.channel.tx_select()
        self.channel.basic_publish("", queue, b"dropped", PERSISTENT)
        self.channel.tx_rollback()
        self.channel.basic_publish("", queue, b"kept", PERSISTENT)
        self.channel.tx_commit()
        other = self.connection.channel()
        self.assertEqual(self.take(queue, 1, other), [b"kept"])
        self.assertEqual(other.queue_declare(queue, passive=True).method.message_count, 0)

    def test_a_missing_queue_closes_the_channel_only(self):
        with self.assertRaises(ChannelClosedByBroker) as caught:
            self.channel.queue_declare(str(uuid.uuid4()), passive=True)
        self.assertEqual(caught.exception.reply_code, 404)
        self.connection.channel().close()

    def test_another_declaration_is_refused(self):
        queue = self.queue()
        with self.assertRaises(ChannelClosedByBroker) as caught:
            self.channel.queue_declare(queue, durable=False)
        self.assertEqual(caught.exception.reply_code, 406)

    def test_a_wrong_password(self):
        wrong = pika.PlainCredentials("guest", "wrong")
        with self.assertRaises(ProbableAuthenticationError):
            pika.BlockingConnection(parameters(credentials=wrong))

    def test_an_unknown_exchange_type_closes_the_connection(self):
        with self.assertRaises(ConnectionClosedByBroker) as caught:
            self.channel.exchange_declare(str(uuid.uuid4()), "x-strange")
        self.assertEqual(caught.exception.reply_code, 503)

    def test_two_threads_share_the_work(self):
        queue = self.queue()
        seen, lock = set(), threading.Lock()

        def work():
            connection = pika.BlockingConnection(parameters())
            channel = connection.channel()
            channel.basic_qos(prefetch_count=5)
            for method, _, body in channel.consume(queue, inactivity_timeout=PATIENCE_SECONDS):
                if body == b"stop":
                    channel.basic_ack(method.delivery_tag)
                    break
                with lock:
                    seen.add(int(body))
                channel.basic_ack(method.delivery_tag)
            channel.cancel()
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(500):
            self.channel.basic_publish("", queue, str(number).encode(), PERSISTENT)
        while len(seen) < 500:
            self.connection.process_data_events(time_limit=0.05)
        for thread in threads:
            self.channel.basic_publish("", queue, b"stop", PERSISTENT)
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            self.assertFalse(thread.is_alive())
        self.assertEqual(seen, set(range(500)))

    def test_an_idle_connection_lives_by_its_heartbeats(self):
        connection = pika.BlockingConnection(parameters(heartbeat=1))
        connection.sleep(4)
        connection.channel().close()
        connection.close()


if __name__ == "__main__":
    HOST, PORT = sys.argv[1], int(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
