"""aio-pika: aio_pika_robust.py amqp://guest:guest@HOST:PORT"""

import asyncio
import sys
import uuid

import aio_pika
from aio_pika.patterns import RPC


async def main(url):
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(10)
        queue = await channel.declare_queue(f"aio-{uuid.uuid4()}", durable=True)
        for number in range(100):
            message = aio_pika.Message(
                str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT, headers={"number": number}
            )
            await channel.default_exchange.publish(message, queue.name)
        bodies = []
        async with queue.iterator(timeout=30) as messages:
            async for message in messages:
                async with message.process():
                    assert message.headers["number"] == int(message.body)
                    bodies.append(int(message.body))
                if len(bodies) == 100:
                    break
        assert bodies == list(range(100)), bodies
        await queue.delete()

        async def double(*, number):
            return 2 * number

        rpc = await RPC.create(channel)
        name = f"double-{uuid.uuid4()}"
        await rpc.register(name, double, auto_delete=True)
        assert await asyncio.wait_for(rpc.call(name, {"number": 21}), 30) == 42


asyncio.run(main(sys.argv[1]))
