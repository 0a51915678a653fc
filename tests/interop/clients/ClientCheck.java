import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

/** RabbitMQ's Java client: ClientCheck HOST PORT. */
class ClientCheck {
    public static void main(String[] arguments) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(arguments[0]);
        factory.setPort(Integer.parseInt(arguments[1]));
        try (Connection connection = factory.newConnection()) {
            Channel channel = connection.createChannel();
            channel.confirmSelect();
            String name = "java-" + UUID.randomUUID();
            channel.queueDeclare(name, true, false, false, null);
            List<String> expected = new ArrayList<>();
            for (int number = 0; number < 100; number++) {
                byte[] body = Integer.toString(number).getBytes();
                channel.basicPublish("", name, MessageProperties.PERSISTENT_BASIC, body);
                expected.add(Integer.toString(number));
            }
            channel.waitForConfirmsOrDie(30_000);
            expect(channel.messageCount(name) == 100, "not all are there");

            GetResponse response = channel.basicGet(name, false);
            channel.basicNack(response.getEnvelope().getDeliveryTag(), false, true);
            response = channel.basicGet(name, false);
            expect(response.getEnvelope().isRedeliver(), "not redelivered");
            channel.basicNack(response.getEnvelope().getDeliveryTag(), false, true);

            BlockingQueue<String> taken = new ArrayBlockingQueue<>(100);
            channel.basicQos(10);
            String tag = channel.basicConsume(name, false, new DefaultConsumer(channel) {
                @Override
                public void handleDelivery(
                        String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) throws IOException {
                    taken.add(new String(body));
                    channel.basicAck(envelope.getDeliveryTag(), false);
                }
            });
            List<String> bodies = new ArrayList<>();
            for (int number = 0; number < 100; number++) {
                bodies.add(taken.poll(30, TimeUnit.SECONDS));
            }
            expect(bodies.equals(expected), "wrong messages: " + bodies);
            channel.basicCancel(tag);

            BlockingQueue<Integer> returned = new ArrayBlockingQueue<>(1);
            channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.add(code));
            channel.basicPublish("", name + "-none", true, null, new byte[0]);
            expect(Integer.valueOf(312).equals(returned.poll(30, TimeUnit.SECONDS)), "not returned");

            try {
                connection.createChannel().queueDeclare(name, false, false, false, null);
                expect(false, "declared otherwise");
            } catch (IOException refused) {
                ShutdownSignalException signal = (ShutdownSignalException) refused.getCause();
                expect(((AMQP.Channel.Close) signal.getReason()).getReplyCode() == 406, "another code");
            }
            channel.queueDelete(name);
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
