%% RabbitMQ's Erlang client: amqp_client.escript HOST PORT, with amqp_client in ERL_LIBS.
-include_lib("amqp_client/include/amqp_client.hrl").

main([Host, Port]) ->
    {ok, _} = application:ensure_all_started(amqp_client),
    Parameters = #amqp_params_network{host = Host, port = list_to_integer(Port)},
    {ok, Connection} = amqp_connection:start(Parameters),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    #'confirm.select_ok'{} = amqp_channel:call(Channel, #'confirm.select'{}),
    Name = iolist_to_binary(io_lib:format("erlang-~s-~b", [os:getpid(), erlang:unique_integer([positive])])),
    #'queue.declare_ok'{} = amqp_channel:call(Channel, #'queue.declare'{queue = Name, durable = true}),
    Bodies = [integer_to_binary(Number) || Number <- lists:seq(1, 100)],
    Publish = #'basic.publish'{routing_key = Name},
    [ok = amqp_channel:cast(Channel, Publish, #amqp_msg{props = #'P_basic'{delivery_mode = 2}, payload = Body})
     || Body <- Bodies],
    true = amqp_channel:wait_for_confirms(Channel, 30),
    #'basic.qos_ok'{} = amqp_channel:call(Channel, #'basic.qos'{prefetch_count = 10}),
    Consume = #'basic.consume'{queue = Name},
    #'basic.consume_ok'{consumer_tag = Tag} = amqp_channel:subscribe(Channel, Consume, self()),
    receive #'basic.consume_ok'{} -> ok end,
    Bodies = [take(Channel) || _ <- Bodies],
    #'basic.cancel_ok'{} = amqp_channel:call(Channel, #'basic.cancel'{consumer_tag = Tag}),
    #'basic.get_empty'{} = amqp_channel:call(Channel, #'basic.get'{queue = Name}),
    #'queue.delete_ok'{} = amqp_channel:call(Channel, #'queue.delete'{queue = Name}),
    ok = amqp_connection:close(Connection).

take(Channel) ->
    receive
        {#'basic.deliver'{delivery_tag = Delivery}, #amqp_msg{payload = Body}} ->
            amqp_channel:cast(Channel, #'basic.ack'{delivery_tag = Delivery}),
            Body
    after 30000 -> exit(no_delivery)
    end.
