#!/usr/bin/env node
// node's amqplib: one producer and one consumer, each with a connection of its own.
//
//   amqplib_load.js plain|confirms URL SECONDS
//
// `plain`: no confirms, as fast as the socket takes it. `confirms`: at most 100 unconfirmed. Each message of
// 1 KiB is persistent and acknowledged by itself, prefetch 100. Prints one line of JSON.
const amqp = require("amqplib");

const queue = "load.amqplib";
const body = Buffer.alloc(1024, "forebay");
const unconfirmedMax = 100;

async function main() {
  const [mode, url, seconds] = process.argv.slice(2);
  const [outgoing, incoming] = [await amqp.connect(url), await amqp.connect(url)];
  const isConfirmed = mode === "confirms";
  const publisher = isConfirmed ? await outgoing.createConfirmChannel() : await outgoing.createChannel();
  const consumer = await incoming.createChannel();
  await publisher.deleteQueue(queue);
  await publisher.assertQueue(queue, { durable: true });
  await consumer.prefetch(100);
  let [published, consumed, unconfirmed] = [0, 0, 0];
  await consumer.consume(queue, (message) => {
    if (!message) return;
    consumer.ack(message);
    consumed += 1;
  });

  const began = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - began) / 1e9;
  let resume = null;
  const goOn = () => { if (resume) { resume(); resume = null; } };
  publisher.on("drain", goOn);
  while (elapsed() < Number(seconds)) {
    const done = isConfirmed ? [() => { unconfirmed -= 1; goOn(); }] : [];
    const hasRoom = publisher.sendToQueue(queue, body, { persistent: true }, ...done);
    published += 1;
    unconfirmed += isConfirmed ? 1 : 0;
    if (isConfirmed ? unconfirmed >= unconfirmedMax : !hasRoom) await new Promise((go) => { resume = go; });
    // The consumer shares this thread.
    else if (published % 50 === 0) await new Promise(setImmediate);
  }
  const told = { published, consumed, seconds: elapsed() };
  await incoming.close();
  await publisher.deleteQueue(queue);
  await outgoing.close();
  console.log(JSON.stringify(told));
}

main().catch((error) => { console.error(error); process.exit(1); });
