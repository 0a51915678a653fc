# Bunny (Ruby): bunny.rb amqp://guest:guest@HOST:PORT
require "bunny"
require "securerandom"

connection = Bunny.new(ARGV[0], automatically_recover: false).start
channel = connection.create_channel
channel.confirm_select
name = "bunny-#{SecureRandom.hex(4)}"
queue = channel.queue(name, durable: true)
100.times { |number| queue.publish(number.to_s, persistent: true, headers: { "number" => number }) }
abort "not confirmed" unless channel.wait_for_confirms
abort "#{queue.message_count} messages of 100" unless queue.message_count == 100

delivery, = queue.pop(manual_ack: true)
channel.nack(delivery.delivery_tag, false, true)
delivery, _, body = queue.pop(manual_ack: true)
abort "not redelivered in its place" unless delivery.redelivered? && body == "0"
channel.ack(delivery.delivery_tag)

taken = Queue.new
channel.prefetch(10)
consumer = queue.subscribe(manual_ack: true) do |info, properties, payload|
  channel.ack(info.delivery_tag)
  taken << [properties.headers["number"], payload]
end
bodies = Array.new(99) { taken.pop }
abort "wrong messages" unless bodies == (1..99).map { |number| [number, number.to_s] }
consumer.cancel

returned = Queue.new
exchange = channel.default_exchange
exchange.on_return { |info, *| returned << info.reply_code }
exchange.publish("x", routing_key: "#{name}-none", mandatory: true)
abort "not returned" unless returned.pop == 312

begin
  connection.create_channel.queue(name, durable: false)
  abort "declared otherwise"
rescue Bunny::PreconditionFailed
  nil
end
queue.delete
connection.close
