"""Exchanges: declaring, deleting, binding, routing."""

from pika import spec

from .scenario import scenario

EXCHANGE = spec.Exchange


def with_exchange(peer, **options):
    connection = peer.open()
    name = peer.name("x")
    options = {"exchange_type": "direct"} | options
    kind = options.pop("exchange_type")
    connection.quietly(1, EXCHANGE.Declare(0, name, kind, **options))
    return connection, name


def bound_queue(peer, connection, name, exchange, key, arguments=None):
    queue = peer.name(name)
    connection.quietly(1, spec.Queue.Declare(queue=queue, exclusive=True))
    connection.quietly(1, spec.Queue.Bind(0, queue, exchange, key, arguments=arguments or {}))
    return queue


def counts(connection, *queues):
    connection.settle()
    for queue in queues:
        connection.call(1, spec.Queue.Declare(queue=queue, passive=True))


@scenario
def declare_and_again(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct"))
    connection.call(1, EXCHANGE.Declare(exchange=name, passive=True))
    connection.call(1, EXCHANGE.Declare(exchange=name, type="fanout", passive=True))


@scenario
def another_type(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="fanout"))


@scenario
def another_durability(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct", durable=True))


@scenario
def another_auto_delete(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct", auto_delete=True))


@scenario
def another_internal(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct", internal=True))


@scenario
def another_alternate_exchange(peer):
    connection, name = with_exchange(peer, arguments={"alternate-exchange": "a"})
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct", arguments={"alternate-exchange": "b"}))


@scenario
def unknown_arguments_are_not_compared(peer):
    connection, name = with_exchange(peer, arguments={"x-mine": 1})
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct", arguments={"x-mine": 2}))


@scenario
def unknown_type(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange=peer.name("x"), type="nonsense"))


@scenario(deviates="delayed messages")
def delayed_messages_without_the_plugin(peer):
    arguments = {"x-delayed-type": "direct"}
    declare = EXCHANGE.Declare(exchange=peer.name("x"), type="x-delayed-message", arguments=arguments)
    peer.open().call(1, declare)


@scenario
def empty_type(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange=peer.name("x"), type=""))


@scenario
def alternate_exchange_of_a_wrong_type(peer):
    declare = EXCHANGE.Declare(exchange=peer.name("x"), type="direct", arguments={"alternate-exchange": 5})
    peer.open().call(1, declare)


@scenario
def passive_of_an_unknown(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange=peer.name("none"), passive=True))


@scenario
def reserved_name(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange="amq.cmp-mine", type="direct"))


@scenario
def predeclared_ones(peer):
    connection = peer.open()
    for name, kind in [("direct", "direct"), ("fanout", "fanout"), ("topic", "topic"), ("headers", "headers"), ("match", "headers")]:
        connection.call(1, EXCHANGE.Declare(exchange=f"amq.{name}", type=kind, durable=True))


@scenario
def predeclared_otherwise(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange="amq.direct", type="direct", durable=False))


@scenario
def predeclared_of_another_type(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange="amq.direct", type="topic", durable=True))


@scenario
def declare_the_default(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange="", type="direct", durable=True))


@scenario
def passive_of_the_default(peer):
    peer.open().call(1, EXCHANGE.Declare(exchange="", type="direct", passive=True))


@scenario
def delete_the_default(peer):
    peer.open().call(1, EXCHANGE.Delete(exchange=""))


@scenario
def delete_a_predeclared(peer):
    peer.open().call(1, EXCHANGE.Delete(exchange="amq.direct"))


@scenario
def delete_an_unknown(peer):
    peer.open().call(1, EXCHANGE.Delete(exchange=peer.name("none")))


@scenario
def delete_if_unused_in_use(peer):
    connection, name = with_exchange(peer)
    bound_queue(peer, connection, "q", name, "k")
    connection.call(1, EXCHANGE.Delete(exchange=name, if_unused=True))


@scenario
def delete_if_unused(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Delete(exchange=name, if_unused=True))
    connection.call(1, EXCHANGE.Declare(exchange=name, passive=True))


@scenario
def publish_to_an_unknown(peer):
    connection = peer.open()
    connection.call(1, spec.Basic.Publish(0, peer.name("none"), "k"), b"x")


@scenario
def publish_to_an_internal(peer):
    connection, name = with_exchange(peer, internal=True)
    connection.call(1, spec.Basic.Publish(0, name, "k"), b"x")


@scenario
def auto_delete_goes_with_its_last_binding(peer):
    connection, name = with_exchange(peer, auto_delete=True)
    queue = bound_queue(peer, connection, "q", name, "k")
    connection.call(1, spec.Queue.Unbind(0, queue, name, "k"))
    connection.call(1, EXCHANGE.Declare(exchange=name, passive=True))


@scenario
def auto_delete_goes_with_its_last_queue(peer):
    connection, name = with_exchange(peer, auto_delete=True)
    queue = bound_queue(peer, connection, "q", name, "k")
    connection.call(1, spec.Queue.Delete(queue=queue))
    connection.call(1, EXCHANGE.Declare(exchange=name, passive=True))


@scenario
def bind_to_an_unknown(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Bind(destination=name, source=peer.name("none"), routing_key=""))


@scenario
def bind_an_unknown(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Bind(destination=peer.name("none"), source=name, routing_key=""))


@scenario
def bind_the_default(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Bind(destination=name, source="", routing_key=""))


@scenario
def bind_to_the_default(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Bind(destination="", source=name, routing_key=""))


@scenario
def unbind_what_was_not_bound(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Unbind(destination=name, source="amq.direct", routing_key="none"))


@scenario
def unbind_an_unknown(peer):
    connection = peer.open()
    connection.call(1, EXCHANGE.Unbind(destination=peer.name("none"), source="amq.direct", routing_key=""))


@scenario
def circles_route_once(peer):
    connection, name = with_exchange(peer, exchange_type="fanout")
    other = peer.name("y")
    connection.quietly(1, EXCHANGE.Declare(0, other, "fanout"))
    connection.call(1, EXCHANGE.Bind(destination=other, source=name, routing_key=""))
    connection.call(1, EXCHANGE.Bind(destination=name, source=other, routing_key=""))
    connection.call(1, EXCHANGE.Bind(destination=name, source=name, routing_key=""))
    queue = bound_queue(peer, connection, "q", other, "")
    connection.quietly(1, spec.Queue.Bind(0, queue, name, ""))
    connection.publish(1, name, "")
    counts(connection, queue)


@scenario
def two_bindings_of_a_queue_make_one_message(peer):
    connection, name = with_exchange(peer, exchange_type="topic")
    queue = bound_queue(peer, connection, "q", name, "a.*")
    connection.quietly(1, spec.Queue.Bind(0, queue, name, "#"))
    connection.publish(1, name, "a.b")
    counts(connection, queue)


@scenario
def topic_patterns(peer):
    connection, name = with_exchange(peer, exchange_type="topic")
    patterns = ["#", "*", "a.*", "a.#", "#.c", "*.*.*", "a.#.c", "", "a..c", "*.#", "#.#", "a"]
    queues = [bound_queue(peer, connection, f"q{n}", name, pattern) for n, pattern in enumerate(patterns)]
    for key in ["", "a", "a.b", "a.b.c", "a..c", ".", "a.", "b.b.c", "*", "#"]:
        connection.publish(1, name, key)
    counts(connection, *queues)


@scenario
def headers_matches(peer):
    connection, name = with_exchange(peer, exchange_type="headers")
    bindings = [
        {"x-match": "all", "a": 1, "b": "2"},
        {"x-match": "any", "a": 1, "b": "2"},
        {"a": 1},
        {"x-match": "all"},
        {"x-match": "any"},
        {"x-match": "all", "x-hidden": 1},
        {"x-match": "any", "x-hidden": 1},
        {"x-match": "all-with-x", "x-shown": 1},
        {"x-match": "any-with-x", "x-shown": 1, "c": 5},
        {"x-match": "all", "a": None},
    ]
    queues = [bound_queue(peer, connection, f"q{n}", name, "", bound) for n, bound in enumerate(bindings)]
    for headers in [None, {}, {"a": 1}, {"a": 1, "b": "2"}, {"a": "1"}, {"b": "2"}, {"x-shown": 1}, {"x-hidden": 1}, {"a": True}]:
        connection.publish(1, name, "", headers=headers)
    counts(connection, *queues)


@scenario
def headers_match_of_a_wrong_kind(peer):
    connection, name = with_exchange(peer, exchange_type="headers")
    queue = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=queue, exclusive=True))
    connection.call(1, spec.Queue.Bind(0, queue, name, "", arguments={"x-match": "some"}))


@scenario
def headers_match_that_is_no_text(peer):
    connection, name = with_exchange(peer, exchange_type="headers")
    queue = peer.name("q")
    connection.quietly(1, spec.Queue.Declare(queue=queue, exclusive=True))
    connection.call(1, spec.Queue.Bind(0, queue, name, "", arguments={"x-match": 1}))


@scenario
def alternate_exchange_takes_what_has_no_route(peer):
    connection = peer.open()
    alternate, name = peer.name("alternate"), peer.name("x")
    connection.quietly(1, EXCHANGE.Declare(0, alternate, "fanout"))
    connection.quietly(1, EXCHANGE.Declare(0, name, "direct", arguments={"alternate-exchange": alternate}))
    routed = bound_queue(peer, connection, "routed", name, "k")
    stray = bound_queue(peer, connection, "stray", alternate, "")
    connection.call(1, spec.Confirm.Select())
    for key in ["k", "none"]:
        connection.publish(1, name, key, mandatory=True)
    counts(connection, routed, stray)
    connection.call(1, spec.Basic.Get(queue=stray, no_ack=True))


@scenario
def alternate_exchange_that_is_not_there(peer):
    connection, name = with_exchange(peer, arguments={"alternate-exchange": peer.name("none")})
    connection.call(1, spec.Confirm.Select())
    connection.publish(1, name, "k", mandatory=True)
    connection.settle()


@scenario
def nowait(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct", nowait=True))
    connection.call(1, EXCHANGE.Declare(exchange=name, passive=True))


@scenario
def nowait_that_fails(peer):
    connection, name = with_exchange(peer)
    connection.call(1, EXCHANGE.Declare(exchange=name, type="fanout", nowait=True))


@scenario
def a_name_of_255_octets(peer):
    connection = peer.open()
    name = peer.name("x").ljust(255, "x")
    connection.call(1, EXCHANGE.Declare(exchange=name, type="direct"))
    connection.call(1, EXCHANGE.Delete(exchange=name))


@scenario
def a_name_with_line_ends(peer):
    connection = peer.open()
    connection.call(1, EXCHANGE.Declare(exchange=peer.name("a\nb\r"), type="direct"))
