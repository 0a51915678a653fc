<?php
// php-amqplib: php_amqplib.php HOST PORT
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

function expect(bool $holds, string $what): void
{
    if (!$holds) {
        fwrite(STDERR, "$what\n");
        exit(1);
    }
}

$connection = new AMQPStreamConnection($argv[1], (int) $argv[2], 'guest', 'guest');
$channel = $connection->channel();
$channel->confirm_select();
$name = 'php-' . bin2hex(random_bytes(4));
$channel->queue_declare($name, false, true, false, false);
for ($number = 0; $number < 100; $number++) {
    $headers = new AMQPTable(['number' => $number, 'list' => [1, 'a', null]]);
    $properties = ['delivery_mode' => 2, 'application_headers' => $headers];
    $channel->basic_publish(new AMQPMessage((string) $number, $properties), '', $name);
}
$channel->wait_for_pending_acks(30);
[, $count] = $channel->queue_declare($name, true);
expect($count === 100, "$count messages of 100");

$message = $channel->basic_get($name);
$message->nack(true);
$message = $channel->basic_get($name);
expect($message->isRedelivered() && $message->body === '0', 'not redelivered in its place');
$message->ack();

$taken = [];
$channel->basic_qos(0, 10, false);
$channel->basic_consume($name, '', false, false, false, false, function (AMQPMessage $message) use (&$taken) {
    $headers = $message->get('application_headers')->getNativeData();
    $taken[] = [$headers['number'], $message->body];
    $message->ack();
});
while (count($taken) < 99) {
    $channel->wait(null, false, 30);
}
expect($taken === array_map(fn ($number) => [$number, (string) $number], range(1, 99)), 'wrong messages');

$returned = null;
$channel->set_return_listener(function ($code) use (&$returned) {
    $returned = $code;
});
$channel->basic_publish(new AMQPMessage('x'), '', "$name-none", true);
$channel->wait_for_pending_acks_returns(30);
expect($returned === 312, 'not returned');

try {
    $connection->channel()->queue_declare($name, false, false, false, false);
    expect(false, 'declared otherwise');
} catch (AMQPProtocolChannelException $refused) {
    expect($refused->amqp_reply_code === 406, 'refused with another code');
}
$channel->queue_delete($name);
$connection->close();
