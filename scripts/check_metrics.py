"""See scripts/check-metrics, which starts it."""

import base64
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import pika
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import rabbitmq_overview
import rule_file

PROJECT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 90
PUBLISHED, ACKED, REJECTED, REQUEUED, ABANDONED, HELD = 200, 120, 7, 2, 4, 3
# Queries that return nothing here, and why.
NAMESPACE = "default"
RULES = [PROJECT / "deploy/prometheus/forebay-alerts.yaml"]
LEARNT = ("forebay_queue_service_seconds", "forebay_queue_lag_normal_peak_messages", "forebay_queue_lag_alert_line_messages", "forebay_queue_lag_ratio",
          "forebay_queue_stall_line_seconds", "forebay_queue_drain_line_seconds", "forebay_queue_oldest_message_age_line_seconds")
# A queue that remembers two keys, and gives out one message at a time.
LIMITS = {"x-dedup-window": 600_000, "x-dedup-size": 2, "x-max-in-flight": 1}
LIMITED = ["1", "1", "2", "3", "4"]
DUPLICATES = 1
GROUPED = {"x-message-group": "routing-key", "x-delayed-retry-min": 3_600_000}
IN_GROUP = 3
EMPTY = {
    **{name: "needs days of history" for name in LEARNT},
    "forebay_queue_symptom": "nothing but the pause is wrong here, and it may not have been looked at",
    "forebay_queue_messages_expired_total": "nothing expires here",
    "forebay_queue_messages_dropped_total": "no queue has a limit here",
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url, accept=None):
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"waited {DEADLINE_SECONDS} s in vain for: {what}")


def samples(text):
    """Value by name with labels."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def connect(port):
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))


def damage(data, broker, amqp):
    """Leaves a data directory in which the only message of the queue `harmed` can't be read."""
    marker = b"a message that is to be harmed"

    def tables():
        paths = data.glob("fjall/keyspaces/*/tables/*")
        return [path for path in paths if marker in path.read_bytes()]

    process = serve(data, broker, amqp, 0, subprocess.DEVNULL)
    try:
        wait_for("the broker to be damaged", lambda: socket.create_connection(("127.0.0.1", amqp)).close() or True)
        connection = connect(amqp)
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("harmed", durable=True)
        keep = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", "harmed", marker, keep)
        # So much more is written that the store moves its memory to tables.
        channel.queue_declare("ballast", durable=True)
        while not tables():
            channel.basic_publish("", "ballast", bytes(1_000_000), keep)
        channel.queue_delete("ballast")
        connection.close()
    finally:
        process.terminate()
        process.wait(timeout=30)
    for path in tables():
        content = bytearray(path.read_bytes())
        content[content.index(marker)] ^= 1
        path.write_bytes(content)


def meet_damage(port):
    """Reads `harmed`, which is set aside because of it."""
    connection = connect(port)
    try:
        connection.channel().basic_get("harmed")
    except pika.exceptions.ChannelClosedByBroker as refusal:
        assert refusal.reply_code == 404, refusal
    else:
        sys.exit("the message of the queue `harmed` is still there, or nobody was told of its damage")
    connection.close()


def load(port, until_scraped):
    """Does a known number of everything; returns the connection, which still holds messages."""
    connection = connect(port)
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.queue_declare("alone", durable=True)
    channel.queue_declare("limited", durable=True, arguments=LIMITS)
    # A rate needs a sample from before.
    until_scraped("work")
    channel.confirm_delivery()
    keep = pika.BasicProperties(delivery_mode=2)
    for number in range(PUBLISHED):
        channel.basic_publish("", "work", b"%d" % number, keep)
    channel.basic_publish("", "alone", b"nobody comes", keep)
    # One consumer has one of them, and the limit keeps it from more.
    for key in LIMITED:
        channel.basic_publish("", "limited", b"x", pika.BasicProperties(delivery_mode=2, message_id=key))
    later = pika.BasicProperties(delivery_mode=2, message_id="later", headers={"x-delay": 3_600_000})
    channel.basic_publish("", "limited", b"x", later)
    connection.channel().basic_consume("limited", lambda *_: None)
    # The first one is parked, and the others of its group wait behind it.
    channel.queue_declare("grouped", durable=True, arguments=GROUPED)
    for _ in range(IN_GROUP):
        channel.basic_publish("", "grouped", b"x", keep)
    connection.channel().basic_consume("grouped", lambda channel, method, *_: channel.basic_nack(method.delivery_tag))

    abandoning = connect(port)
    other = abandoning.channel()
    for _ in range(ABANDONED):
        other.basic_get("work")
    abandoning.close()

    channel.basic_qos(prefetch_count=HELD)
    done = {"ack": 0, "reject": 0, "requeue": 0}

    def handle(channel, method, _properties, _body):
        if done["requeue"] < REQUEUED:
            done["requeue"] += 1
            channel.basic_nack(method.delivery_tag, requeue=True)
        elif done["reject"] < REJECTED:
            done["reject"] += 1
            channel.basic_reject(method.delivery_tag, requeue=False)
        elif done["ack"] < ACKED:
            done["ack"] += 1
            channel.basic_ack(method.delivery_tag)

    channel.basic_consume("work", handle)
    while done["ack"] < ACKED:
        connection.process_data_events(time_limit=1)
    connection.process_data_events(time_limit=0.5)
    return connection


def pause(port, queue):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/queues/%2F/{queue}/pause", b"{}", method="POST")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    urllib.request.urlopen(request, timeout=10).close()


def documented():
    """Labels by metric, as the table in docs/reference/metrics.md has them."""
    text = (PROJECT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [^|]* \| ([^|]*) \|", text, re.M)
    return {name: (kind, set(labels.replace("–", "").replace(",", " ").split())) for name, kind, labels in rows}


def check_table(text, faults, of_queues):
    """Every metric of the table is on the page, with its labels: from the first scrape on, but those
    of queues, which need a queue."""
    found = {}
    for sample in samples(text):
        name, _, labels = sample.partition("{")
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    for name, (kind, labels) in documented().items():
        is_of_queue = "queue" in labels
        # Tests of the server look at what a broker of some minutes does not have.
        if is_of_queue and (not of_queues or name in LEARNT or name == "forebay_queue_symptom"):
            continue
        sample, more = (f"{name}_bucket", {"le"}) if kind == "histogram" else (name, set())
        if sample not in found:
            faults.append(f"{name}: documented, and not on the page")
        elif found[sample] - more != labels:
            faults.append(f"{name}: labels {sorted(found[sample] - more)}, documented {sorted(labels)}")


def check_figures(page, faults):
    """Against what `load` did."""
    lag = PUBLISHED - ACKED - REJECTED
    queue = 'vhost="/",queue="work"'
    expected = {
        f"forebay_queue_messages_published_total{{{queue}}}": PUBLISHED,
        f"forebay_queue_messages_acked_total{{{queue}}}": ACKED + REJECTED,
        f"forebay_queue_lag_messages{{{queue}}}": lag,
        f"forebay_queue_messages_unacked{{{queue}}}": HELD,
        f"forebay_queue_messages_ready{{{queue}}}": lag - HELD,
        f"forebay_queue_consumers{{{queue}}}": 1,
        f'forebay_queue_messages_redelivered_total{{{queue},reason="nack"}}': REQUEUED,
        f'forebay_queue_messages_redelivered_total{{{queue},reason="close"}}': ABANDONED,
        f'forebay_queue_messages_dead_lettered_total{{{queue},reason="rejected"}}': REJECTED,
        'forebay_queue_lag_messages{vhost="/",queue="work.dlq"}': REJECTED,
        # With the one of `alone`, and the delayed one.
        "forebay_messages_published_total": PUBLISHED + 2 + len(LIMITED) + IN_GROUP,
        "forebay_messages_confirmed_total": PUBLISHED + 2 + len(LIMITED) + IN_GROUP,
        'forebay_queue_messages_deduplicated_total{vhost="/",queue="limited"}': DUPLICATES,
        'forebay_queue_messages_delayed{vhost="/",queue="limited"}': 1,
        'forebay_queue_held_back{vhost="/",queue="limited",reason="max-in-flight"}': 1,
        'forebay_queue_paused{vhost="/",queue="alone"}': 1,
        'forebay_queue_messages_parked{vhost="/",queue="grouped"}': 1,
        'forebay_queue_messages_blocked{vhost="/",queue="grouped"}': IN_GROUP - 1,
        "forebay_message_processing_seconds_count": ACKED,
        "forebay_connections": 1,
        # With the one of `alone` and the one of `harmed`.
        "rabbitmq_queue_messages": lag + 2 + REJECTED + len(LIMITED) - DUPLICATES + IN_GROUP - 1,
        'forebay_queue_damaged{vhost="/",queue="harmed"}': 1,
        "forebay_queues_damaged": 1,
    }
    for name, value in expected.items():
        if page.get(name) != value:
            faults.append(f"{name} is {page.get(name)}, expected {value}")
    age = page.get(f"forebay_queue_oldest_message_age_seconds{{{queue}}}")
    if age is None or not 0 < age < DEADLINE_SECONDS:
        faults.append(f"the oldest message is said to be {age} s old")


def expressions():
    """Every query of rules and dashboards with the place it stands in."""
    for path in RULES:
        for group in rule_file.groups(path):
            for rule in group.rules:
                yield f"rule {rule.name}", rule.expression, True
    keda = (PROJECT / "deploy/kubernetes/keda.yaml").read_text(encoding="utf-8")
    for query in re.findall(r"^ +query: (.+)$", keda, re.M):
        yield "keda.yaml", query.replace('queue="orders"', 'queue="work"'), False
    hpa = (PROJECT / "deploy/kubernetes/hpa.yaml").read_text(encoding="utf-8")
    series = re.search(r"seriesQuery: '([^'{]+)", hpa)[1]
    for query in re.findall(r"metricsQuery: '(.+)'", hpa):
        # As prometheus-adapter fills it in for this namespace and the selector of the autoscaler.
        for blank, value in (("Series", series), ("LabelMatchers", f'namespace="{NAMESPACE}",queue="work"'),
                             ("GroupBy", "namespace")):
            query = query.replace(f"<<.{blank}>>", value)
        yield "hpa.yaml", query, False
    cluster = "forebay@" + os.uname().nodename
    for query in rabbitmq_overview.queries(NAMESPACE, cluster):
        yield "RabbitMQ's overview", query, False
    for path in sorted((PROJECT / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"].replace("$__rate_interval", "1m")
                text = re.sub(r"\$(instance|vhost|queue)\b", ".*", text)
                yield f"{path.stem}, '{panel['title']}'", text, False


def check_queries(prometheus, faults):
    count = 0
    for where, expression, is_alert in expressions():
        query = urllib.parse.urlencode({"query": expression})
        answer = json.loads(fetch(f"{prometheus}/api/v1/query?{query}"))
        count += 1
        reason = next((why for part, why in EMPTY.items() if part in expression), None)
        # An alert that is silent while all is well is right; that it parses was seen here, that it
        # fires in deploy/prometheus/*-tests.yaml.
        result = answer["data"]["result"]
        if not result and not is_alert and not reason:
            faults.append(f"{where}: no data for {expression}")
        elif where == "RabbitMQ's overview" and "NaN" in (series["value"][1] for series in result):
            faults.append(f"{where}: nothing to draw for {expression}")
    return count


def check_rules_in_use(prometheus, faults):
    """Prometheus itself evaluates all of them without an error."""
    for group in json.loads(fetch(f"{prometheus}/api/v1/rules"))["data"]["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                faults.append(f"rule {rule['name']}: {rule['health']}: {rule.get('lastError')}")


def check_formats(metrics, faults):
    for path in ("", "/per-object", "/detailed?family=queue_coarse_metrics&vhost=%2F"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=fetch(metrics + path),
                                 capture_output=True, text=True, check=False)
        complaints = [line for line in checked.stderr.splitlines() if not line.startswith("rabbitmq_")]
        if complaints:
            faults.append(f"promtool about /metrics{path}: {complaints}")
    detailed = samples(fetch(f"{metrics}/detailed?family=queue_coarse_metrics&vhost=%2F"))
    name = 'rabbitmq_detailed_queue_messages{vhost="/",queue="work"}'
    if detailed.get(name) != PUBLISHED - ACKED - REJECTED:
        faults.append(f"{name} is {detailed.get(name)}")
    for path in ("", "/per-object"):
        text = fetch(metrics + path, "application/openmetrics-text; version=1.0.0")
        try:
            families = {family.name for family in text_string_to_metric_families(text)}
        except ValueError as error:
            faults.append(f"/metrics{path} is no OpenMetrics: {error}")
        else:
            if not text.endswith("# EOF\n") or len(families) < 20:
                faults.append(f"/metrics{path}: no OpenMetrics when asked for it")


def serve(data, broker, amqp, metrics, log, admin=0):
    return subprocess.Popen([broker, "serve", "--data-dir", data, "--listen", f"127.0.0.1:{amqp}",
                             "--metrics-listen", f"127.0.0.1:{metrics}", "--admin-listen", f"127.0.0.1:{admin}"],
                            stderr=log, stdout=log)


def start(directory, broker, ports):
    amqp, metrics, prometheus, admin = ports
    for path in RULES:
        # As they are, but there is no time to wait for their intervals.
        rules = re.sub(r"interval: \w+", "interval: 2s", path.read_text(encoding="utf-8"))
        (directory / path.name).write_text(rules)
    labels = f"instance: test, namespace: {NAMESPACE}"
    (directory / "prometheus.yaml").write_text(
        "global: {scrape_interval: 1s}\nrule_files: ['forebay-*.yaml']\n"
        "scrape_configs:\n  - job_name: forebay\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{metrics}'], labels: {{{labels}}}}}]\n")
    log = (directory / "log").open("w")
    yield serve(directory / "data", broker, amqp, metrics, log, admin)
    yield subprocess.Popen(["prometheus", f"--config.file={directory}/prometheus.yaml",
                            f"--storage.tsdb.path={directory}/prometheus",
                            f"--web.listen-address=127.0.0.1:{prometheus}"], stderr=log, stdout=log)


def main():
    ports = free_port(), free_port(), free_port(), free_port()
    metrics, prometheus = f"http://127.0.0.1:{ports[1]}/metrics", f"http://127.0.0.1:{ports[2]}"
    faults = []
    with tempfile.TemporaryDirectory() as name:
        processes = []
        try:
            damage(pathlib.Path(name) / "data", sys.argv[1], ports[0])
            for process in start(pathlib.Path(name), sys.argv[1], ports):
                processes.append(process)
            wait_for("the broker", lambda: fetch(metrics.replace("/metrics", "/health/ready")))
            wait_for("Prometheus", lambda: fetch(f"{prometheus}/-/ready"))

            def until_scraped(queue):
                """So often that the broker's own looks at its queues have come, too."""
                expression = f'count_over_time(forebay_queue_lag_messages{{queue="{queue}"}}[1m]) > 11'
                query = urllib.parse.urlencode({"query": expression})
                wait_for(f"scrapes of {queue}", lambda: json.loads(
                    fetch(f"{prometheus}/api/v1/query?{query}"))["data"]["result"])

            check_table(fetch(metrics), faults, of_queues=False)
            meet_damage(ports[0])
            connection = load(ports[0], until_scraped)
            pause(ports[3], "alone")
            wait_for("all acknowledgements", lambda: samples(fetch(metrics)).get(
                'forebay_queue_messages_acked_total{vhost="/",queue="work"}') == ACKED + REJECTED)
            check_figures(samples(fetch(metrics)), faults)
            check_table(fetch(metrics), faults, of_queues=True)
            check_formats(metrics, faults)
            until_scraped("work.dlq")
            count = check_queries(prometheus, faults)
            check_rules_in_use(prometheus, faults)
            connection.close()
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=30)
        if faults:
            print((pathlib.Path(name) / "log").read_text()[-2000:], file=sys.stderr)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{count} queries, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
