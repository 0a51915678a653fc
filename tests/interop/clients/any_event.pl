# AnyEvent::RabbitMQ (Perl): any_event.pl HOST PORT
use strict;
use warnings;
use AnyEvent;
use AnyEvent::RabbitMQ;

my ($host, $port) = @ARGV;
my $fails = sub { die "failed: ", (ref $_[0] ? join(" ", %{$_[0]}) : $_[0]), "\n" };

# Calls a method and waits for its answer.
sub asked {
    my ($object, $method, %arguments) = @_;
    my $answer = AnyEvent->condvar;
    $object->$method(%arguments, on_success => sub { $answer->send(@_) }, on_failure => $fails);
    return $answer->recv;
}

my $connection = asked(
    AnyEvent::RabbitMQ->new->load_xml_spec, 'connect',
    host => $host, port => $port, user => 'guest', pass => 'guest', vhost => '/', timeout => 30,
);
my $channel = asked($connection, 'open_channel', on_return => sub { });
my $name = "perl-$$-" . int(rand(1e9));
asked($channel, 'declare_queue', queue => $name, durable => 1);
asked($channel, 'confirm');
for my $number (0 .. 9) {
    my $confirmed = AnyEvent->condvar;
    $channel->publish(
        routing_key => $name, body => $number, header => { delivery_mode => 2 },
        on_ack => sub { $confirmed->send }, on_nack => $fails,
    );
    $confirmed->recv;
}

my @bodies;
my $all = AnyEvent->condvar;
asked($channel, 'qos', prefetch_count => 2);
asked(
    $channel, 'consume', queue => $name, no_ack => 0,
    on_consume => sub {
        my $delivery = shift;
        push @bodies, $delivery->{body}->payload;
        $channel->ack(delivery_tag => $delivery->{deliver}->method_frame->delivery_tag);
        $all->send if @bodies == 10;
    },
);
$all->recv;
die "wrong messages: @bodies\n" unless "@bodies" eq join(' ', 0 .. 9);
asked($channel, 'delete_queue', queue => $name);
asked($connection, 'close');
