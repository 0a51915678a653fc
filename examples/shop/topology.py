"""The queues of the shop: what each needs is an argument of its queue, none is code of a worker."""

EXCHANGE = "shop.orders"
LATER = "shop.later"
LEASE_MS = 1_000
EMAIL_DELAY_MS = (1_000, 5_000)

# Stock is counted product by product, in order; products do not wait for each other.
INVENTORY = {"x-message-group": "product"}
# The customer's server may be down: 50 ms, 100, 200, 400, then the dead letters.
WEBHOOKS = {
    "x-delayed-retry-type": "failed",
    "x-delayed-retry-min": 50,
    "x-delayed-retry-max": 5_000,
    "x-delayed-retry-multiplier": 2,
    "x-delivery-limit": 5,
}
# A checkout that is sent twice is charged once.
PAYMENTS = {"x-dedup-window": 600_000}
QUEUES = {"inventory": INVENTORY, "webhooks": WEBHOOKS, "payments": PAYMENTS, "emails": {}, "video": {}}


def name(queue):
    return f"shop.{queue}"


def declare(channel):
    channel.exchange_declare(EXCHANGE, "fanout", durable=True)
    channel.exchange_declare(LATER, "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    for queue, arguments in QUEUES.items():
        channel.queue_declare(name(queue), durable=True, arguments=arguments)
    for queue in ("inventory", "webhooks", "payments"):
        channel.queue_bind(name(queue), EXCHANGE)
    for queue in ("emails", "video"):
        channel.queue_bind(name(queue), LATER, name(queue))
