//! Logins by certificate, as RabbitMQ's plugin for the mechanism EXTERNAL has them.

use crate::broker::TlsBroker;
use crate::client::Wallet;
use forebay_wire::Method;

const ASKS: &str = "cacertfile = \"CA\"\n";

/// Whether the login was let in, or what was said.
fn outcome(answer: Method) -> Result<(), String> {
    match answer {
        Method::ConnectionTune(_) => Ok(()),
        Method::ConnectionClose(close) => Err(close.reply_text.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_is_a_login_when_it_names_a_user() {
    for (setting, name) in [
        ("", "CN=app,O=Test"),
        ("cert_login_from = \"common_name\"\n", "app"),
        ("cert_login_from = \"subject_alternative_name\"\n", "app.clients.test"),
    ] {
        // The hash is of nothing: nobody logs in by password.
        let user = format!(
            "[[users]]\nname = \"{name}\"\npassword_hash = \"$argon2id$v=19$m=7168,t=5,p=1$\
             bm9ib2R5a25vd3M$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"\n"
        );
        let hash = forebay_server::auth::user::hash_password(b"pw").unwrap();
        let clerk = format!("[[users]]\nname = \"clerk\"\npassword_hash = \"{hash}\"\n");
        let broker = TlsBroker::start_with(&format!("{ASKS}{setting}{user}{clerk}"));
        let (app, other) = (broker.authority.client("app"), broker.authority.client("other"));
        let (mut client, mechanisms) =
            Wallet::showing(&broker.authority, &app).greet(broker.tls).unwrap();
        assert_eq!(mechanisms, "PLAIN AMQPLAIN EXTERNAL");
        // Whatever else the response asks to be.
        assert_eq!(outcome(client.log_in("EXTERNAL", b"guest")), Ok(()), "{name}");

        let wallet = Wallet::showing(&broker.authority, &other);
        let (mut client, _) = wallet.greet(broker.tls).unwrap();
        let text = outcome(client.log_in("EXTERNAL", b"app")).unwrap_err();
        assert!(text.contains("refused using authentication mechanism EXTERNAL"), "{text}");
        let (mut client, _) = wallet.greet(broker.tls).unwrap();
        assert_eq!(outcome(client.log_in("PLAIN", b"\0clerk\0pw")), Ok(()));
        // The configuration names users, so there is no default one.
        let (mut client, _) = wallet.greet(broker.tls).unwrap();
        assert!(outcome(client.log_in("PLAIN", b"\0guest\0guest")).is_err());
    }
}

#[test]
fn without_a_certificate_there_is_no_external() {
    let broker = TlsBroker::start_with(ASKS);
    let (mut client, mechanisms) = Wallet::trusting(&broker.authority).greet(broker.tls).unwrap();
    assert_eq!(mechanisms, "PLAIN AMQPLAIN");
    assert!(outcome(client.log_in("EXTERNAL", b"guest")).is_err());
    // One that was not asked for does not count either.
    let broker = TlsBroker::start();
    let guest = broker.authority.client("guest");
    let (_, mechanisms) = Wallet::showing(&broker.authority, &guest).greet(broker.tls).unwrap();
    assert_eq!(mechanisms, "PLAIN AMQPLAIN");
}
