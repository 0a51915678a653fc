"""See scripts/check-metrics, which starts it."""

import json
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

import rule_file

PROJECT = pathlib.Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 90
PUBLISHED, ACKED, REJECTED, REQUEUED, ABANDONED, HELD = 200, 120, 7, 2, 4, 3
# Queries that return nothing here, and why.
EMPTY = {
    "lag_messages:": "needs days of history",
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


def load(port, until_scraped):
    """Does a known number of everything; returns the connection, which still holds messages."""
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
    channel = connection.channel()
    channel.queue_declare("work", durable=True)
    channel.queue_declare("alone", durable=True)
    # A rate needs a sample from before.
    until_scraped("work")
    channel.confirm_delivery()
    keep = pika.BasicProperties(delivery_mode=2)
    for number in range(PUBLISHED):
        channel.basic_publish("", "work", b"%d" % number, keep)
    channel.basic_publish("", "alone", b"nobody comes", keep)

    abandoning = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
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
        f'forebay_queue_messages_redelivered_total{{{queue},reason="disconnect"}}': ABANDONED,
        f'forebay_queue_messages_dead_lettered_total{{{queue},reason="rejected"}}': REJECTED,
        'forebay_queue_lag_messages{vhost="/",queue="work.dlq"}': REJECTED,
        "forebay_messages_published_total": PUBLISHED + 1,
        "forebay_messages_confirmed_total": PUBLISHED + 1,
        "forebay_message_processing_seconds_count": ACKED,
        "forebay_connections": 1,
        "rabbitmq_queue_messages": lag + 1 + REJECTED,
    }
    for name, value in expected.items():
        if page.get(name) != value:
            faults.append(f"{name} is {page.get(name)}, expected {value}")
    age = page.get(f"forebay_queue_oldest_message_age_seconds{{{queue}}}")
    if age is None or not 0 < age < DEADLINE_SECONDS:
        faults.append(f"the oldest message is said to be {age} s old")


def expressions():
    """Every query of rules and dashboards with the place it stands in."""
    for name in ("forebay-recording.yaml", "forebay-alerts.yaml"):
        for group in rule_file.groups(PROJECT / "deploy/prometheus" / name):
            for rule in group.rules:
                yield f"rule {rule.name}", rule.expression, name == "forebay-alerts.yaml"
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
        # fires in deploy/prometheus/forebay-tests.yaml.
        if not answer["data"]["result"] and not is_alert and not reason:
            faults.append(f"{where}: no data for {expression}")
    return count


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
    if not fetch(metrics, "application/openmetrics-text").endswith("# EOF\n"):
        faults.append("no OpenMetrics when asked for it")


def start(directory, broker, ports):
    amqp, metrics, prometheus = ports
    (directory / "prometheus.yaml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: forebay\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{metrics}'], labels: {{instance: test}}}}]\n")
    log = (directory / "log").open("w")
    yield subprocess.Popen([broker, "serve", "--data-dir", directory / "data", "--listen", f"127.0.0.1:{amqp}",
                            "--metrics-listen", f"127.0.0.1:{metrics}", "--admin-listen", "127.0.0.1:0"], stderr=log, stdout=log)
    yield subprocess.Popen(["prometheus", f"--config.file={directory}/prometheus.yaml",
                            f"--storage.tsdb.path={directory}/prometheus",
                            f"--web.listen-address=127.0.0.1:{prometheus}"], stderr=log, stdout=log)


def main():
    ports = free_port(), free_port(), free_port()
    metrics, prometheus = f"http://127.0.0.1:{ports[1]}/metrics", f"http://127.0.0.1:{ports[2]}"
    faults = []
    with tempfile.TemporaryDirectory() as name:
        processes = []
        try:
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

            connection = load(ports[0], until_scraped)
            wait_for("all acknowledgements", lambda: samples(fetch(metrics)).get(
                'forebay_queue_messages_acked_total{vhost="/",queue="work"}') == ACKED + REJECTED)
            check_figures(samples(fetch(metrics)), faults)
            check_formats(metrics, faults)
            until_scraped("work.dlq")
            count = check_queries(prometheus, faults)
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
