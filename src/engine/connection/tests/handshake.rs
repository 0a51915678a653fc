use super::*;
use crate::connection::{Credentials, Proof};

#[test]
fn a_foreign_protocol_is_answered_with_ours() {
    for header in
        [&b"GET / HTTP/1.1\r\n"[..], b"AMQP\x00\x01\x00\x00", b"AMQP\x01\x01\x08\x00", &[0; 8]]
    {
        let mut client = Client::raw();
        client.feed(header);
        assert_eq!(bytes(client.connection.output())[..], PROTOCOL_HEADER);
        assert!(client.connection.is_finished());
    }
}

#[test]
fn the_header_of_0_9_is_taken_for_0_9_1() {
    let mut client = Client::raw();
    client.feed(b"AMQP\x01\x01\x00\x09");
    let frames = client.methods();
    let [(0, Method::ConnectionStart(start))] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
}

#[test]
fn half_a_header_is_waited_for() {
    let mut client = Client::raw();
    client.feed(b"AMQ");
    assert!(client.frames().is_empty());
    client.feed(b"P\x00\x00\x09\x01");
    let frames = client.methods();
    let [(0, Method::ConnectionStart(start))] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN");
    let FieldValue::Table(capabilities) = start.server_properties.get("capabilities").unwrap()
    else {
        panic!("no capabilities")
    };
    for capability in
        ["publisher_confirms", "basic.nack", "direct_reply_to", "settlement_instructions"]
    {
        assert_eq!(capabilities.get(capability), Some(&FieldValue::Bool(true)));
    }
    assert_eq!(
        start.server_properties.get("product"),
        Some(&FieldValue::LongStr(Bytes::from_static(b"Forebay")))
    );
}

fn login(mechanism: &str, response: &'static [u8], properties: &FieldTable) -> Client {
    let mut client = Client::raw();
    client.feed(&PROTOCOL_HEADER);
    client.frames();
    client.send(0, start_ok(properties, mechanism, response));
    client
}

#[test]
fn both_mechanisms_give_user_and_password() {
    let amqplain = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x02pw";
    for (mechanism, response) in [("PLAIN", &b"\0guest\0pw"[..]), ("AMQPLAIN", amqplain)] {
        let mut client = login(mechanism, response, &FieldTable::new());
        let Some(Action::Authenticate(credentials)) = client.connection.poll_action() else {
            panic!("no action")
        };
        assert_eq!(credentials.user, "guest");
        assert_eq!(credentials.proof, Proof::Password(Bytes::from_static(b"pw")));
        assert!(!format!("{credentials:?}").contains("pw"));
    }
}

#[test]
fn external_is_for_those_who_have_shown_a_certificate() {
    let mut client = login("EXTERNAL", b"", &client_properties("test"));
    assert_eq!(client.connection.poll_action(), None);
    let (outcome, text) = client.outcome();
    assert_eq!(outcome, "close:403");
    assert!(text.contains("expected one of PLAIN AMQPLAIN"), "{text}");

    let address = "127.0.0.1:50000".parse().unwrap();
    let mut client = Client::of(Peer { address, certificate_user: Some(name("app")) });
    client.feed(&PROTOCOL_HEADER);
    let frames = client.methods();
    let [(0, Method::ConnectionStart(start))] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN EXTERNAL");
    // What the response asks for does not count.
    client.send(0, start_ok(&FieldTable::new(), "EXTERNAL", b"root"));
    let expected = Credentials { user: name("app"), proof: Proof::Certificate };
    assert_eq!(client.connection.poll_action(), Some(Action::Authenticate(expected)));
}

#[test]
fn a_client_that_speaks_tls_is_told_about_in_the_log() {
    let mut client = Client::raw();
    client.feed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc");
    assert_eq!(bytes(client.connection.output())[..], PROTOCOL_HEADER);
    let cause = client.connection.cause().unwrap().to_string();
    assert!(cause.contains("use the TLS port"), "{cause}");
}

#[test]
fn a_refused_login_is_a_close_for_those_who_understand_it_and_an_end_for_others() {
    let mut client = login("PLAIN", b"\0guest\0wrong", &client_properties("test"));
    client.authenticate(false);
    let (outcome, text) = client.outcome();
    assert_eq!(outcome, "close:403");
    assert!(text.starts_with("ACCESS_REFUSED - Login was refused using"), "{text}");
    assert!(client.connection.is_finished());
    assert!(client.connection.cause().is_some());

    let mut client = login("PLAIN", b"\0guest\0wrong", &FieldTable::new());
    client.authenticate(false);
    assert_eq!(client.outcome().0, "eof");
}

#[test]
fn malformed_responses_and_unknown_mechanisms_are_refused_without_a_check() {
    for (mechanism, response) in
        [("PLAIN", &b"guest"[..]), ("PLAIN", b"\0a\0b\0c"), ("AMQPLAIN", b"xx"), ("BOGUS", b"")]
    {
        let mut client = login(mechanism, response, &client_properties("test"));
        assert!(client.connection.poll_action().is_none());
        assert_eq!(client.outcome().0, "close:403", "{mechanism}");
    }
}

#[test]
fn a_connection_that_limits_keep_out_is_told_why() {
    let mut client = login("PLAIN", b"\0guest\0guest", &client_properties("test"));
    client.authenticate(true);
    client.send(0, ConnectionTuneOk::default());
    client.frames();
    client.send(0, ConnectionOpen { virtual_host: name("/") });
    assert!(client.frames().is_empty(), "nothing is said before it is in");
    let fault = Fault::connection(ReplyCode::NotAllowed, "connection limit (1) is reached");
    client.enter(Err(fault));
    let methods = client.methods();
    let [(0, Method::ConnectionClose(close))] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (530, 10, 40));
    assert!(client.take_commands().is_empty(), "the shard never hears of it");
}

fn tuned(channel_max: u16, frame_max: u32, vhost: &str) -> (String, String) {
    let mut client = login("PLAIN", b"\0guest\0guest", &client_properties("test"));
    client.authenticate(true);
    client.frames();
    client.send(0, ConnectionTuneOk { channel_max, frame_max, heartbeat: 65535 });
    client.send(0, ConnectionOpen { virtual_host: name(vhost) });
    if client.connection.is_paused() {
        client.enter(Ok(()));
    }
    client.outcome()
}

#[test]
fn limits_may_be_lowered_but_not_raised() {
    assert_eq!(tuned(2047, 131_072, "/").0, "open");
    assert_eq!(tuned(0, 0, "/").0, "open");
    assert_eq!(tuned(1, 4096, "/").0, "open");
    assert_eq!(tuned(2047, 100, "/").0, "close:530");
    assert_eq!(tuned(2047, 0x7fff_ffff, "/").0, "close:530");
    assert_eq!(tuned(65535, 131_072, "/").0, "close:530");
}

#[test]
fn an_unknown_vhost_is_named() {
    let refused = ("close:530".to_owned(), "NOT_ALLOWED - vhost 'nope' not found".to_owned());
    assert_eq!(tuned(0, 0, "nope"), refused);
}

#[test]
fn methods_out_of_turn_close_the_connection() {
    let open = || Method::from(ConnectionOpen { virtual_host: name("/") });
    for (channel, method) in
        [(0, open()), (1, ChannelOpen {}.into()), (1, ConnectionTuneOk::default().into())]
    {
        let mut client = login("PLAIN", b"\0guest\0guest", &client_properties("test"));
        client.authenticate(true);
        client.frames();
        client.send(channel, method);
        assert_eq!(client.outcome().0, "close:505");
    }
    let mut client = Client::raw();
    client.feed(&PROTOCOL_HEADER);
    client.feed(&method_bytes(1, start_ok(&FieldTable::new(), "PLAIN", b"\0a\0b")));
    assert_eq!(client.outcome().0, "close:505");
}

#[test]
fn nothing_is_read_while_the_password_is_checked() {
    let mut client = login("PLAIN", b"\0guest\0guest", &FieldTable::new());
    client.send(0, ConnectionTuneOk::default());
    client.send(0, ConnectionOpen { virtual_host: name("/") });
    assert!(client.frames().is_empty());
    client.authenticate(true);
    client.enter(Ok(()));
    let methods = client.methods();
    assert!(
        matches!(methods[..], [(0, Method::ConnectionTune(_)), (0, Method::ConnectionOpenOk(_))]),
        "{methods:?}"
    );
}

#[test]
fn loopback_is_told_from_elsewhere() {
    for (address, loopback) in [
        ("127.0.0.1:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("10.0.0.1:1", false),
    ] {
        assert_eq!(Client::from_address(address).connection.peer().is_loopback(), loopback);
    }
}

#[test]
fn a_new_secret_is_checked_and_taken_whatever_it_is() {
    let mut client = Client::open();
    let new_secret = Bytes::from_static(b"anything");
    client.send(0, ConnectionUpdateSecret { new_secret, reason: name("expired") });
    let Some(Action::CheckSecret(credentials)) = client.connection.poll_action() else { panic!() };
    assert_eq!(credentials.user, "guest");
    // One at a time: nothing else is read meanwhile.
    assert!(client.connection.is_paused() && client.methods().is_empty());
    client.connection.handle_secret_checked(client.now);
    assert_eq!(client.methods(), [(0, ConnectionUpdateSecretOk {}.into())]);
    assert!(!client.connection.is_paused());
}
