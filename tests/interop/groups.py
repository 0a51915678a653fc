"""Three consumers with pika on one queue with groups: of each group one message at a time, in order."""

import random
import sys
import threading

import pika

GROUPS, COUNT, CONSUMERS = 7, 30, 3


def main(address):
    host, port = address.rsplit(":", 1)
    parameters = pika.ConnectionParameters(host.strip("[]"), int(port))
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.confirm_delivery()
    arguments = {"x-message-group": "customer", "x-delivery-limit": -1}
    channel.queue_declare("pika-groups", durable=True, arguments=arguments)
    for place in range(COUNT):
        for group in range(GROUPS):
            properties = pika.BasicProperties(delivery_mode=2, headers={"customer": f"c{group}"})
            channel.basic_publish("", "pika-groups", f"{group} {place}".encode(), properties)
    ledger = Ledger()
    workers = [threading.Thread(target=work, args=(parameters, ledger, seed)) for seed in range(CONSUMERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not ledger.wrong, ledger.wrong
    assert ledger.done == {group: COUNT for group in range(GROUPS)}, ledger.done
    channel.queue_delete("pika-groups")
    connection.close()


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.in_hand = {}
        self.done = {group: 0 for group in range(GROUPS)}
        self.wrong = []

    def take(self, group, place):
        with self.lock:
            if group in self.in_hand or self.done[group] != place:
                self.wrong.append((group, place, self.in_hand.get(group), self.done[group]))
            self.in_hand[group] = place

    def give_back(self, group, is_done):
        with self.lock:
            self.in_hand.pop(group, None)
            self.done[group] += is_done

    def is_finished(self):
        with self.lock:
            return bool(self.wrong) or sum(self.done.values()) == GROUPS * COUNT


def work(parameters, ledger, seed):
    draw = random.Random(seed)
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=4)
    for method, _, body in channel.consume("pika-groups", inactivity_timeout=0.1):
        if ledger.is_finished():
            break
        if method is None:
            continue
        group, place = map(int, body.split())
        ledger.take(group, place)
        fails = draw.random() < 0.2
        ledger.give_back(group, not fails)
        if fails:
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            channel.basic_ack(method.delivery_tag)
    connection.close()


main(sys.argv[1])
