"""What RabbitMQ's overview dashboard (10991) asks: its metrics in the shapes of its queries, each with
the labels that it selects and joins by. RabbitMQ 4.2's dashboard has 50 queries; so has this."""

SINGLE = ("queue_messages_ready", "queue_messages_unacked", "global_publishers", "global_consumers",
          "connections", "channels", "queues")
TOTALS = ("global_messages_delivered_total", "global_messages_received_total")
NODE_SUMS = ("queue_messages_ready", "queue_messages_unacked")
NODE_RATES = (
    "global_messages_received_total", "global_messages_routed_total", "global_messages_confirmed_total",
    "global_messages_unroutable_returned_total", "global_messages_unroutable_dropped_total",
    "global_messages_redelivered_total", "global_messages_acknowledged_total",
    "global_messages_delivered_consume_manual_ack_total", "global_messages_delivered_consume_auto_ack_total",
    "global_messages_delivered_get_auto_ack_total", "global_messages_delivered_get_manual_ack_total",
    "global_messages_get_empty_total", "queues_declared_total", "queues_created_total",
    "queues_deleted_total", "channels_opened_total", "channels_closed_total", "connections_opened_total",
    "connections_closed_total")
NODE_LINES = ("queues", "channels", "connections")
SIZES = ("100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08", "+Inf")


def queries(namespace, cluster, endpoint="aggregated"):
    """All of them, for the values that its variables would have."""
    chosen = f'{{rabbitmq_cluster="{cluster}",namespace="{namespace}",rabbitmq_endpoint="{endpoint}"}}'
    identity = f"rabbitmq_identity_info{chosen}"
    joined = f" * on(instance, job) group_left(rabbitmq_cluster) {identity}"
    by_node = f" * on(instance, job) group_left(rabbitmq_cluster, rabbitmq_node) {identity}"

    yield from (f"sum(rabbitmq_{name}{joined})" for name in SINGLE)
    yield from (f"sum(irate(rabbitmq_{name}[1m]){joined})" for name in TOTALS)
    yield f"count({identity})"
    yield ("rabbitmq_erlang_uptime_seconds * on(instance, job) group_left(rabbitmq_version, erlang_version)"
           f" rabbitmq_build_info{by_node}")
    yield f"(rabbitmq_resident_memory_limit_bytes{by_node}) - (rabbitmq_process_resident_memory_bytes{by_node})"
    yield f"(rabbitmq_disk_space_available_bytes - rabbitmq_disk_space_available_limit_bytes){by_node}"
    yield f"(rabbitmq_process_max_fds - rabbitmq_process_open_fds){by_node}"
    yield from (f"sum(rabbitmq_{name}{by_node}) by (rabbitmq_node)" for name in NODE_SUMS)
    yield from (f"sum(rate(rabbitmq_{name}[1m]){by_node}) by (rabbitmq_node)" for name in NODE_RATES)
    yield (f"sum(rate(rabbitmq_global_messages_received_confirm_total[1m]){by_node}"
           f" - rate(rabbitmq_global_messages_confirmed_total[1m]){by_node}) by (rabbitmq_node)")
    yield (f"sum((rate(rabbitmq_global_messages_delivered_consume_auto_ack_total[1m]){by_node})"
           f" + (rate(rabbitmq_global_messages_delivered_consume_manual_ack_total[1m]){by_node})) by (rabbitmq_node)")
    yield from (f"rabbitmq_{name}{by_node}" for name in NODE_LINES)

    def size(name, bound=None):
        labels = f'{{le="{bound}"}}' if bound else ""
        return f"sum(increase(rabbitmq_message_size_bytes_{name}{labels}[5m]){by_node})"

    yield f"{size('sum')} / {size('count')}"
    yield f"{size('bucket', SIZES[0])} / {size('bucket', '+Inf')}"
    yield from (f"({size('bucket', upper)} - {size('bucket', lower)}) / {size('bucket', '+Inf')}"
                for lower, upper in zip(SIZES, SIZES[1:]))
