#!/usr/bin/env python3
"""What pika gets of messages that wait: `x-delay` and `x-deliver-at` in the types that it sends.

    tests/interop/delayed.py amqp://guest:guest@127.0.0.1:5672"""

import datetime
import decimal
import sys
import time

import pika

QUEUE = "pika-delayed"
# The broker has it in ms, and pika sends a date in whole seconds.
SOON_MS = 300


def headers_of(delay):
    return pika.BasicProperties(headers=delay, delivery_mode=2, content_type="text/plain")


def refused(connection, headers):
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("", QUEUE, b"", headers_of(headers))
    except pika.exceptions.ChannelClosedByBroker as closed:
        assert closed.reply_code == 406, closed
        return closed.reply_text
    raise AssertionError(f"{headers} is accepted")


def main():
    connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_delete(QUEUE)
    channel.queue_declare(QUEUE, durable=True)
    channel.exchange_declare("pika-later", "x-delayed-message", arguments={"x-delayed-type": "topic"})
    channel.queue_bind(QUEUE, "pika-later", "mail.#")

    def publish(body, delay, exchange="", key=QUEUE):
        begin = time.time()
        channel.basic_publish(exchange, key, body.encode(), headers_of(delay), mandatory=True)
        return begin

    begun = {
        "number": publish("number", {"x-delay": SOON_MS}),
        "long": publish("long", {"x-delay": 2**40}),
        "text": publish("text", {"x-delay": str(2 * SOON_MS)}),
        "decimal": publish("decimal", {"x-delay": decimal.Decimal("1050.5")}),
        "exchange": publish("exchange", {"x-delay": 5 * SOON_MS}, "pika-later", "mail.new"),
        "none": publish("none", {"x-delay": 0}),
        "past": publish("past", {"x-deliver-at": datetime.datetime(2001, 1, 1)}),
    }
    date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    begun["date"] = publish("date", {"x-deliver-at": date})
    dues = {"number": SOON_MS, "text": 2 * SOON_MS, "decimal": 1_050, "exchange": 5 * SOON_MS, "none": 0, "past": 0}
    came = []
    for method, properties, body in channel.consume(QUEUE, inactivity_timeout=60):
        assert method, f"only {came} came"
        name, now = body.decode(), time.time()
        if name == "date":
            assert now >= int(date.timestamp()), "before its date"
        else:
            waited = (now - begun[name]) * 1_000
            assert waited >= dues[name], f"{name} came after {waited} ms"
        if name in ("number", "exchange"):
            assert properties.headers["x-delay"] == -int(dues[name]), properties.headers
        assert properties.content_type == "text/plain"
        channel.basic_ack(method.delivery_tag)
        came.append(name)
        if len(came) == len(begun) - 1:
            break
    channel.cancel()
    waited = ["number", "text", "decimal", "exchange"]
    assert [name for name in came if name in waited] == waited, came

    for headers, name in [({"x-delay": "soon"}, "x-delay"), ({"x-delay": True}, "x-delay"), ({"x-deliver-at": "now"}, "x-deliver-at")]:
        assert name in refused(connection, headers)
    assert channel.queue_declare(QUEUE, passive=True).method.message_count == 0, "the longest waits"
    channel.queue_delete(QUEUE)
    channel.exchange_delete("pika-later")
    connection.close()


main()
