//! Exchanges: where a message goes.

use crate::harness::must;
use crate::harness::session::{
    Session, await_ready, bind, bind_with, code, confirmed, declare, declare_exchange, drain,
    persistent, publish, publish_with, ready_count, string, table, unique,
};
use lapin::options::{
    BasicPublishOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    ExchangeUnbindOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{Confirmation, ExchangeKind};

#[tokio::test]
async fn direct_exchanges_route_by_equal_keys() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "direct", ExchangeKind::Direct).await;
    let (red, both) = (declare(&channel, "red").await, declare(&channel, "both").await);
    bind(&channel, &red, &exchange, "red").await;
    bind(&channel, &both, &exchange, "red").await;
    bind(&channel, &both, &exchange, "blue").await;
    for key in ["red", "blue", "green"] {
        confirmed(publish(&channel, &exchange, key, key).await).await;
    }
    assert_eq!(drain(&channel, &red).await, ["red"]);
    assert_eq!(drain(&channel, &both).await, ["red", "blue"]);
}

#[tokio::test]
async fn fanout_exchanges_copy_to_every_queue() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "fanout", ExchangeKind::Fanout).await;
    let queues = [declare(&channel, "one").await, declare(&channel, "two").await];
    for queue in &queues {
        bind(&channel, queue, &exchange, "ignored").await;
    }
    confirmed(publish(&channel, &exchange, "any", "m").await).await;
    for queue in &queues {
        assert_eq!(drain(&channel, queue).await, ["m"]);
    }
}

#[tokio::test]
async fn topic_exchanges_route_by_words() {
    let patterns = [
        ("orders.eu.new", "orders.*.new", true),
        ("orders.eu.west.new", "orders.*.new", false),
        ("orders.eu.west.new", "orders.#.new", true),
        ("orders.new", "orders.#.new", true),
        ("orders", "#", true),
        ("", "#", true),
        ("", "*", false),
        ("orders", "orders.#", true),
        ("orders.", "orders.*", true),
        ("a.b.c", "*.*", false),
        ("a.b.c", "#.c", true),
        ("a.b.c", "#.b.#", true),
        ("a.b.c", "#.*.c.#", true),
        ("orders", "order", false),
    ];
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "topic", ExchangeKind::Topic).await;
    for (key, pattern, matches) in patterns {
        let queue = declare(&channel, "pattern").await;
        bind(&channel, &queue, &exchange, pattern).await;
        confirmed(publish(&channel, &exchange, key, key).await).await;
        let found = ready_count(&channel, &queue).await == 1;
        assert_eq!(found, matches, "key {key:?}, pattern {pattern:?}");
        must("delete", channel.queue_delete(queue.into(), QueueDeleteOptions::default()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_queue_bound_twice_gets_a_message_once() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "twice", ExchangeKind::Topic).await;
    let queue = declare(&channel, "twice").await;
    bind(&channel, &queue, &exchange, "a.*").await;
    bind(&channel, &queue, &exchange, "*.b").await;
    bind(&channel, &queue, &exchange, "#").await;
    confirmed(publish(&channel, &exchange, "a.b", "once").await).await;
    assert_eq!(drain(&channel, &queue).await, ["once"]);
}

#[tokio::test]
async fn headers_exchanges_match_all_or_any() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "headers", ExchangeKind::Headers).await;
    let (all, any) = (declare(&channel, "all").await, declare(&channel, "any").await);
    for (queue, mode) in [(&all, "all"), (&any, "any")] {
        let mut arguments = table("x-match", string(mode));
        arguments.insert("format".into(), string("pdf"));
        arguments.insert("pages".into(), AMQPValue::LongInt(4));
        bind_with(&channel, queue, &exchange, "", arguments).await;
    }
    let both = {
        let mut headers = table("format", string("pdf"));
        headers.insert("pages".into(), AMQPValue::LongInt(4));
        headers.insert("other".into(), string("ignored"));
        headers
    };
    let cases = [("both", both), ("one", table("format", string("pdf")))];
    for (body, headers) in cases {
        let properties = persistent().with_headers(headers);
        confirmed(publish_with(&channel, &exchange, "", body.as_bytes(), properties).await).await;
    }
    confirmed(publish(&channel, &exchange, "", "none").await).await;
    assert_eq!(drain(&channel, &all).await, ["both"]);
    assert_eq!(drain(&channel, &any).await, ["both", "one"]);
}

#[tokio::test]
async fn every_queue_is_bound_to_the_default_exchange_by_its_name() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let queue = declare(&channel, "default").await;
    confirmed(publish(&channel, "", &queue, "m").await).await;
    assert_eq!(drain(&channel, &queue).await, ["m"]);

    let refused = channel
        .queue_bind(queue.as_str().into(), "".into(), "k".into(), <_>::default(), <_>::default())
        .await;
    assert_eq!(code(refused), 403);
}

#[tokio::test]
async fn the_predeclared_exchanges_are_there_and_stay() {
    let kinds = [
        ("amq.direct", ExchangeKind::Direct),
        ("amq.fanout", ExchangeKind::Fanout),
        ("amq.topic", ExchangeKind::Topic),
        ("amq.headers", ExchangeKind::Headers),
        ("amq.match", ExchangeKind::Headers),
    ];
    let session = Session::open().await;
    for (name, kind) in kinds {
        let options = ExchangeDeclareOptions { durable: true, ..<_>::default() };
        must(name, session.channel.exchange_declare(name.into(), kind, options, <_>::default()))
            .await
            .unwrap();
        let channel = session.channel().await;
        let refused = channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await;
        assert_eq!(code(refused), 403, "{name}");
    }
}

#[tokio::test]
async fn exchanges_can_be_bound_to_exchanges() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let source = declare_exchange(&channel, "source", ExchangeKind::Topic).await;
    let sink = declare_exchange(&channel, "sink", ExchangeKind::Direct).await;
    let queue = declare(&channel, "behind").await;
    bind(&channel, &queue, &sink, "eu.new").await;
    let names = || (sink.as_str().into(), source.as_str().into());
    let (to, from) = names();
    let bound = channel.exchange_bind(
        to,
        from,
        "eu.*".into(),
        ExchangeBindOptions::default(),
        <_>::default(),
    );
    must("exchange.bind", bound).await.unwrap();
    // A loop of exchanges delivers once.
    let (from, to) = names();
    let looped = channel.exchange_bind(
        to,
        from,
        "eu.new".into(),
        ExchangeBindOptions::default(),
        <_>::default(),
    );
    must("exchange.bind", looped).await.unwrap();

    confirmed(publish(&channel, &source, "eu.new", "through").await).await;
    confirmed(publish(&channel, &source, "us.new", "stopped").await).await;
    assert_eq!(drain(&channel, &queue).await, ["through"]);

    let (to, from) = names();
    let unbound = channel.exchange_unbind(
        to,
        from,
        "eu.*".into(),
        ExchangeUnbindOptions::default(),
        <_>::default(),
    );
    must("exchange.unbind", unbound).await.unwrap();
    confirmed(publish(&channel, &source, "eu.new", "gone").await).await;
    assert!(drain(&channel, &queue).await.is_empty());
}

#[tokio::test]
async fn an_alternate_exchange_takes_what_has_no_route() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let alternate = declare_exchange(&channel, "alternate", ExchangeKind::Fanout).await;
    let name = unique("with-alternate");
    let options = ExchangeDeclareOptions { durable: true, ..<_>::default() };
    let arguments = table("alternate-exchange", string(&alternate));
    channel
        .exchange_declare(name.as_str().into(), ExchangeKind::Direct, options, arguments)
        .await
        .unwrap();
    let (normal, rest) = (declare(&channel, "normal").await, declare(&channel, "rest").await);
    bind(&channel, &normal, &name, "known").await;
    bind(&channel, &rest, &alternate, "").await;
    confirmed(publish(&channel, &name, "known", "k").await).await;
    let mandatory = BasicPublishOptions { mandatory: true, ..<_>::default() };
    let confirm = channel
        .basic_publish(name.as_str().into(), "unknown".into(), mandatory, b"u", persistent())
        .await
        .unwrap();
    assert_eq!(must("confirm", confirm).await.unwrap(), Confirmation::Ack(None));
    assert_eq!(drain(&channel, &normal).await, ["k"]);
    assert_eq!(drain(&channel, &rest).await, ["u"]);
}

#[tokio::test]
async fn cc_and_bcc_add_routing_keys_and_bcc_stays_hidden() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let mut queues = Vec::new();
    for name in ["to", "cc", "bcc"] {
        queues.push(declare(&channel, name).await);
    }
    let list = |name: &str| {
        let mut array = FieldArray::default();
        array.push(string(name));
        AMQPValue::FieldArray(array)
    };
    let mut headers = FieldTable::default();
    headers.insert("CC".into(), list(&queues[1]));
    headers.insert("BCC".into(), list(&queues[2]));
    let properties = persistent().with_headers(headers);
    confirmed(publish_with(&channel, "", &queues[0], b"m", properties).await).await;
    for queue in &queues {
        let message = crate::harness::session::get(&channel, queue).await.unwrap();
        let headers = message.properties.headers().clone().unwrap();
        assert!(headers.inner().contains_key("CC"), "{headers:?}");
        assert!(!headers.inner().contains_key("BCC"), "{headers:?}");
        assert_eq!(message.routing_key.as_str(), queues[0]);
    }
}

#[tokio::test]
async fn clients_cannot_publish_to_an_internal_exchange() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let name = unique("internal");
    let options = ExchangeDeclareOptions { internal: true, ..<_>::default() };
    channel
        .exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, <_>::default())
        .await
        .unwrap();
    let confirm = publish(&channel, &name, "", "m").await;
    assert_eq!(code(must("refusal", confirm).await), 403);
}

#[tokio::test]
async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let name = unique("auto-delete");
    let options = ExchangeDeclareOptions { auto_delete: true, ..<_>::default() };
    channel
        .exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, <_>::default())
        .await
        .unwrap();
    let queue = declare(&channel, "bound").await;
    bind(&channel, &queue, &name, "").await;
    let unbound = channel.queue_unbind(
        queue.as_str().into(),
        name.as_str().into(),
        "".into(),
        <_>::default(),
    );
    must("queue.unbind", unbound).await.unwrap();
    let options = ExchangeDeclareOptions { passive: true, ..<_>::default() };
    let gone = channel
        .exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, <_>::default())
        .await;
    assert_eq!(code(gone), 404);
}

#[tokio::test]
async fn a_deleted_exchange_takes_its_bindings_along() {
    let session = Session::open().await;
    let channel = session.confirm_channel().await;
    let exchange = declare_exchange(&channel, "again", ExchangeKind::Fanout).await;
    let queue = declare(&channel, "left").await;
    bind(&channel, &queue, &exchange, "").await;
    let if_unused = ExchangeDeleteOptions { if_unused: true, ..<_>::default() };
    let other = session.channel().await;
    let refused = other.exchange_delete(exchange.as_str().into(), if_unused).await;
    assert_eq!(code(refused), 406);
    channel.exchange_delete(exchange.as_str().into(), <_>::default()).await.unwrap();
    channel.exchange_delete(exchange.as_str().into(), <_>::default()).await.unwrap();

    let options = ExchangeDeclareOptions { durable: true, ..<_>::default() };
    channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Fanout, options, <_>::default())
        .await
        .unwrap();
    confirmed(publish(&channel, &exchange, "", "m").await).await;
    await_ready(&channel, &queue, 0).await;
}

#[tokio::test]
async fn declaring_an_exchange_differently_is_refused() {
    let session = Session::open().await;
    let exchange = declare_exchange(&session.channel, "equal", ExchangeKind::Direct).await;
    let durable = ExchangeDeclareOptions { durable: true, ..<_>::default() };
    let cases = [
        (ExchangeKind::Fanout, durable, FieldTable::default()),
        (ExchangeKind::Direct, ExchangeDeclareOptions::default(), FieldTable::default()),
        (
            ExchangeKind::Direct,
            ExchangeDeclareOptions { auto_delete: true, ..durable },
            <_>::default(),
        ),
        (ExchangeKind::Direct, durable, table("alternate-exchange", string("other"))),
    ];
    for (kind, options, arguments) in cases {
        let channel = session.channel().await;
        let declared = channel.exchange_declare(exchange.as_str().into(), kind, options, arguments);
        assert_eq!(code(must("exchange.declare", declared).await), 406);
    }
}

#[tokio::test]
async fn reserved_and_unknown_exchanges_are_refused() {
    let session = Session::open().await;
    let cases = [
        ("amq.mine", ExchangeKind::Direct, ExchangeDeclareOptions::default(), 403),
        (
            "nothing-here",
            ExchangeKind::Direct,
            ExchangeDeclareOptions { passive: true, ..<_>::default() },
            404,
        ),
        ("", ExchangeKind::Direct, ExchangeDeclareOptions::default(), 403),
        (
            "strange",
            ExchangeKind::Custom("x-strange".into()),
            ExchangeDeclareOptions::default(),
            503,
        ),
    ];
    for (name, kind, options, expected) in cases {
        let channel = session.channel().await;
        let declared = channel.exchange_declare(name.into(), kind, options, <_>::default());
        assert_eq!(code(must("exchange.declare", declared).await), expected, "{name:?}");
    }
    assert!(!session.connection.status().connected(), "an unknown type closes the connection");
}
