// @cloudamqp/amqp-client (Node.js): amqp_client_js.mjs amqp://guest:guest@HOST:PORT
import assert from 'node:assert'
import { createRequire } from 'node:module'

const { AMQPClient } = createRequire(`${process.cwd()}/`)('@cloudamqp/amqp-client')
const connection = await new AMQPClient(process.argv[2]).connect()
const channel = await connection.channel()
await channel.confirmSelect()
const queue = `js-${process.pid}-${Date.now()}`
await channel.queueDeclare(queue, { durable: true })
for (let number = 0; number < 100; number++) {
  await channel.basicPublish('', queue, String(number), { deliveryMode: 2, headers: { number } })
}
await channel.basicQos(10)
const bodies = []
await new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`only ${bodies.length} messages`)), 30_000).unref()
  channel.basicConsume(queue, { noAck: false }, (message) => {
    assert.strictEqual(message.properties.headers.number, Number(message.bodyString()))
    bodies.push(message.bodyString())
    message.ack()
    if (bodies.length === 100) resolve()
  })
})
assert.deepStrictEqual(bodies, Array.from({ length: 100 }, (_, number) => String(number)))
await assert.rejects((await connection.channel()).queueDeclare(queue, { durable: false }), /PRECONDITION_FAILED/)
await channel.queueDelete(queue)
await connection.close()
