use super::*;

fn later(client: &mut Client, milliseconds: u64) {
    client.now.monotonic = client.now.monotonic.plus(milliseconds);
    client.connection.handle_timeout(client.now);
    client.feed_nothing();
}

impl Client {
    fn feed_nothing(&mut self) {
        self.commands.extend(self.connection.poll_commands());
    }
}

fn beating(interval: u16) -> Client {
    Client::connected(&client_properties("test"), 0, 0, interval)
}

#[test]
fn a_stalled_handshake_ends() {
    let mut client = Client::raw();
    client.feed(&PROTOCOL_HEADER);
    client.now.monotonic = client.connection.poll_timeout().unwrap();
    client.connection.handle_timeout(client.now);
    assert!(client.connection.is_finished());
    let client = Client::open();
    assert_eq!(client.connection.poll_timeout(), None);
}

#[test]
fn heartbeats_are_sent_every_half_interval() {
    let mut client = beating(10);
    client.frames();
    assert_eq!(client.connection.poll_timeout(), Some(client.now.monotonic.plus(5_000)));
    later(&mut client, 5_000);
    assert_eq!(client.frames(), [Frame::Heartbeat]);
    later(&mut client, 4_999);
    assert!(client.frames().is_empty());
    later(&mut client, 1);
    assert_eq!(client.frames(), [Frame::Heartbeat]);
}

#[test]
fn heartbeats_do_not_pile_up_for_a_client_that_does_not_read() {
    let mut client = beating(10);
    client.frames();
    for _ in 0..100 {
        later(&mut client, 5_000);
        client.feed(&[8, 0, 0, 0, 0, 0, 0, 0xce]);
    }
    assert_eq!(client.frames(), [Frame::Heartbeat]);
}

#[test]
fn a_client_that_misses_two_heartbeats_is_dropped() {
    let mut client = beating(10);
    later(&mut client, 19_000);
    client.feed(&[8, 0, 0, 0, 0, 0, 0, 0xce]);
    later(&mut client, 19_999);
    assert!(!client.connection.is_finished());
    later(&mut client, 1);
    assert!(matches!(client.answered()[..], [Command::CloseConnection { .. }]));
    assert!(client.connection.is_finished());
}

#[test]
fn a_client_that_is_not_read_is_not_taken_for_dead() {
    let mut client = beating(10);
    client.open_channel(1);
    client.send(1, QueueDeclare { queue: name("q"), ..QueueDeclare::default() });
    later(&mut client, 100_000);
    assert!(!client.connection.is_finished());
    client.answered();
    later(&mut client, 19_999);
    assert!(!client.connection.is_finished());
}

#[test]
fn a_client_without_heartbeats_is_silent_for_as_long_as_it_may() {
    let open = |silence_s_max| {
        let peer = Peer::at("127.0.0.1:50000".parse().unwrap());
        let mut client = Client::with(peer, silence_s_max);
        client.shake_hands(&client_properties("test"), 0, 0, 0);
        client
    };
    let mut patient = open(None);
    later(&mut patient, 1_000_000_000);
    assert!(!patient.connection.is_finished());
    let mut client = open(Some(60));
    later(&mut client, 59_000);
    client.feed(&[8, 0, 0, 0, 0, 0, 0, 0xce]);
    later(&mut client, 59_999);
    assert!(!client.connection.is_finished());
    later(&mut client, 1);
    client.answered();
    assert!(client.connection.is_finished());
    assert!(client.connection.cause().unwrap().text.contains("idle_timeout"));
}
