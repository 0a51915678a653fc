#!/usr/bin/env python3
"""Uses the page in a real Chromium as people do: every view, every act, what users may not do, a broker that restarts
under an open page, 10,000 queues, a phone, the dark.

    tests/console/browser.py [TEST …]

Needs chromium, chromedriver, selenium and pika, and a broker in target/debug/forebay or $FOREBAY_BROKER."""

import base64
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import pika
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BROKER = os.environ.get("FOREBAY_BROKER", str(PROJECT / "target/debug/forebay"))
PATIENCE_S = 60


class Broker:
    """A broker on free ports; the same ports after a restart."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.ports = {"--listen": 0, "--metrics-listen": 0, "--admin-listen": 0}
        self.start()

    def start(self):
        flags = [f"{flag}=127.0.0.1:{port}" for flag, port in self.ports.items()]
        self.log = pathlib.Path(self.directory.name, "log")
        with self.log.open("w", encoding="utf-8") as log:
            command = [BROKER, "serve", "--data-dir", f"{self.directory.name}/data", *flags]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: re.search(r" ready$", self.log.read_text(encoding="utf-8"), re.M), "the broker is ready")
        text = self.log.read_text(encoding="utf-8")
        for flag, words in [("--listen", r"AMQP[^\n]*? "), ("--metrics-listen", r"metrics[^\n]*?://"), ("--admin-listen", r"admin on http://")]:
            self.ports[flag] = int(re.search(words + r"127\.0\.0\.1:(\d+)", text)[1])
        self.page = f"http://127.0.0.1:{self.ports['--admin-listen']}/"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)

    def connect(self, **properties):
        parameters = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{self.ports['--listen']}")
        parameters.client_properties = properties
        return pika.BlockingConnection(parameters)

    def api(self, method, path, body=None):
        request = urllib.request.Request(self.page + "api/" + path, method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(request, data, PATIENCE_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def until(condition, what):
    """Waits until `condition` holds, which may meet elements that come and go."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (NoSuchElementException, StaleElementReferenceException):
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def chromium(downloads):
    options = webdriver.ChromeOptions()
    for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]:
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": downloads})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


class Page(unittest.TestCase):
    """One broker and one browser for all tests; each test has queues of its own."""

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()
        cls.downloads = tempfile.TemporaryDirectory()
        cls.driver = chromium(cls.downloads.name)
        cls.connection = cls.broker.connect(connection_name="setup")
        cls.channel = cls.connection.channel()

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        cls.broker.stop()

    def setUp(self):
        self.size(1360, 900)
        self.log_in("guest", "guest")
        # Keeps its connection while the browser is used.
        self.connection.process_data_events(0)

    def tearDown(self):
        self.connection.process_data_events(0)
        for line in self.driver.get_log("browser"):
            text = line["message"]
            # Chromium writes a line for each answer that is no success; refusals are a part of the tests.
            if line["level"] == "SEVERE" and "Failed to load resource" not in text and "ERR_" not in text:
                self.fail(f"the browser complains: {text}")

    # What a person does.

    def size(self, width, height, phone=False):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def log_in(self, name, password):
        self.driver.get("about:blank")
        self.driver.delete_all_cookies()
        self.driver.get(self.broker.page)
        self.driver.delete_all_cookies()
        self.driver.execute_script("localStorage.clear()")
        self.driver.refresh()
        self.enter(name, password)
        self.see("nav a[aria-current]")

    def enter(self, name, password):
        self.see("#name").clear()
        self.see("#name").send_keys(name)
        self.see("#password").clear()
        self.see("#password").send_keys(password + Keys.ENTER)

    def go(self, path):
        self.driver.execute_script("location.hash = arguments[0]", path)
        until(lambda: self.driver.find_element(By.ID, "main"), "the view")

    def see(self, selector):
        return until(lambda: next(it for it in [self.driver.find_element(By.CSS_SELECTOR, selector)] if it.is_displayed()), selector)

    def read(self, text, within="body"):
        until(lambda: text in self.driver.find_element(By.CSS_SELECTOR, within).text, f"'{text}' in {within}")

    def gone(self, selector):
        until(lambda: not self.driver.find_elements(By.CSS_SELECTOR, selector), f"no {selector}")

    def press(self, label, within="body"):
        def click():
            box = self.driver.find_element(By.CSS_SELECTOR, within)
            for button in box.find_elements(By.CSS_SELECTOR, "button, a, summary"):
                if re.sub(r"\s*[↑↓]$", "", button.text.strip()) == label and button.is_displayed() and button.is_enabled():
                    # Not below the bar, which stays where it is.
                    self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
                    button.click()
                    return True
            return False
        until(click, f"button '{label}' in {within}")

    def fill(self, name, text):
        field = self.see(f"dialog [name='{name}']")
        field.clear()
        field.send_keys(text)

    def rows(self):
        return [row.text for row in self.driver.find_elements(By.CSS_SELECTOR, "tbody tr")]

    def buttons(self):
        return {button.text.strip() for button in self.driver.find_elements(By.CSS_SELECTOR, "#main button, #main a")}

    def publish(self, queue, count=1, body=b'{"order": 1}', **properties):
        self.channel.queue_declare(queue, durable=True)
        self.channel.confirm_delivery()
        for _ in range(count):
            self.channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2, **properties))

    def reject(self, queue, count):
        """The messages of a queue become dead letters."""
        for _ in range(count):
            method, _, _ = self.channel.basic_get(queue)
            self.channel.basic_reject(method.delivery_tag, requeue=False)
        until(lambda: self.ready(f"{queue}.dlq") == count, "dead letters")

    def ready(self, queue):
        try:
            return self.broker.api("GET", "queues/%2F/" + urllib.parse.quote(queue, safe=""))["messages_ready"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    # Log-in.

    def test_login(self):
        self.press("guest", "header")
        self.press("Log out", "header")
        self.enter("guest", "wrong")
        self.read("Name or password is wrong.")
        self.enter("guest", "guest")
        self.see("nav a[aria-current]")
        cookie, = self.driver.get_cookies()
        self.assertTrue(cookie["httpOnly"])
        self.assertEqual(cookie["sameSite"], "Strict")
        self.driver.refresh()
        self.see("nav a[aria-current]")

    # Overview and lists.

    def test_overview_says_what_needs_a_person(self):
        self.publish("lonely", 3)
        self.go("#/")
        self.read("lonely has no consumers; 3 messages wait", ".needs")
        self.press("lonely", ".needs")
        self.read("lonely", "h1")
        self.channel.queue_delete("lonely")
        self.read("There is no queue lonely")

    def test_queues_are_searched_sorted_and_opened_by_key(self):
        for name, count in [("list-a", 1), ("list-b", 5), ("list-c", 0)]:
            self.publish(name, count)
        self.go("#/queues")
        self.see("tbody tr")
        body = self.driver.find_element(By.TAG_NAME, "body")
        body.send_keys("/")
        self.driver.switch_to.active_element.send_keys("list-")
        until(lambda: len(self.rows()) == 3, "three rows")
        self.assertIn("list-b", self.rows()[0])
        self.press("Queue", "thead")
        until(lambda: "list-a" in self.rows()[0], "sorted by name")
        self.press("Queue", "thead")
        until(lambda: "list-c" in self.rows()[0], "sorted by name, the last first")
        self.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        self.driver.find_element(By.TAG_NAME, "body").send_keys("j")
        self.driver.switch_to.active_element.send_keys("j")
        self.driver.switch_to.active_element.send_keys(Keys.ENTER)
        self.read("list-b", "h1")
        self.driver.find_element(By.TAG_NAME, "body").send_keys("u")
        self.read("Queues", "h1")
        self.driver.find_element(By.TAG_NAME, "body").send_keys("gc")
        self.read("Connections", "h1")
        self.driver.find_element(By.TAG_NAME, "body").send_keys("?")
        self.read("search", "dialog")

    def test_a_pattern_that_is_none_is_told(self):
        self.publish("pattern", 0)
        self.go("#/queues?name=(&regex=1")
        self.see(".refusal")

    # A queue.

    def test_a_queue_is_looked_at_published_to_purged_and_deleted(self):
        self.publish("box", 2, b'{"order": 17, "text": "\xc3\xa4"}', content_type="application/json", headers={"tenant": "t1"})
        self.publish("box", 1, bytes(range(64)))
        self.go("#/queues/%2F/box")
        self.press("Look at the first messages")
        until(lambda: len(self.driver.find_elements(By.CSS_SELECTOR, "button.letter")) == 3, "three messages")
        first, _, last = self.driver.find_elements(By.CSS_SELECTOR, "button.letter")
        first.click()
        self.read('"order": 17', ".message pre")
        self.read("tenant", ".message")
        last.click()
        self.read("10 11 12 13", ".message pre")
        self.assertEqual(self.ready("box"), 3)

        self.press("Publish…")
        self.fill("payload", "by hand")
        self.fill("headers", "no JSON")
        self.press("Publish", "dialog")
        self.read("Headers: no JSON", "dialog")
        self.fill("headers", '{"n": 1}')
        self.press("Publish", "dialog")
        self.gone("dialog")
        until(lambda: self.ready("box") == 4, "the message")

        until(lambda: "4" in self.see(".strip").text, "four messages")
        self.press("Purge…")
        self.press("Cancel", "dialog")
        self.gone("dialog")
        self.assertEqual(self.ready("box"), 4)
        self.press("Purge…")
        self.read("4 ready messages will be deleted", "dialog")
        self.press("Delete 4 messages", "dialog")
        self.gone("dialog")
        self.assertEqual(self.ready("box"), 0)

        self.publish("box", 1)
        until(lambda: "no consumers" in self.see(".head").text, "a message")
        self.press("Delete…")
        self.read("1 message will be deleted with the queue", "dialog")
        self.assertFalse(self.driver.find_element(By.CSS_SELECTOR, "dialog .danger").is_enabled())
        self.see("dialog input").send_keys("box")
        self.press("Delete the queue", "dialog")
        self.read("Queues", "h1")
        self.assertIsNone(self.ready("box"))

    def test_consumers_settings_and_bindings_are_told(self):
        self.broker.api("PUT", "policies/%2F/short", {"pattern": "^told$", "definition": {"max-length": 1000}, "apply-to": "queues"})
        self.publish("told", 5)
        self.channel.queue_bind("told", "amq.topic", "told.#")
        connection = self.broker.connect(connection_name="a worker")
        channel = connection.channel()
        channel.basic_qos(prefetch_count=2)
        channel.basic_consume("told", lambda *_: None, consumer_tag="holder")
        connection.process_data_events(0.5)
        self.go("#/queues/%2F/told")
        self.read("holder")
        self.read("prefetch is full")
        self.read("policy short", ".settings")
        self.read("default", ".settings")
        self.read("told.#", ".flow")
        self.press(f"127.0.0.1:{connection._impl._transport._sock.getsockname()[1]}")
        self.read("a worker", "h1")
        self.read("prefetch is full: it must acknowledge")
        self.press("Close…")
        self.read("2 unacknowledged messages will go back", "dialog")
        self.press("Close the connection", "dialog")
        self.read("Connections", "h1")
        with self.assertRaises(pika.exceptions.AMQPError):
            connection.process_data_events(5)
            channel.queue_declare("told", passive=True)

    def test_a_queue_is_paused_and_resumed(self):
        self.publish("halted", 2)
        self.go("#/queues/%2F/halted")
        self.press("Pause…")
        self.read("Messages still come in and wait.", "dialog")
        self.press("Cancel", "dialog")
        self.gone("dialog")
        self.assertFalse(self.broker.api("GET", "queues/%2F/halted")["paused"])
        self.press("Pause…")
        self.press("Pause the queue", "dialog")
        self.gone("dialog")
        self.read("halted has been paused by guest", ".say")
        consumer = self.broker.connect(connection_name="idle")
        consumer.channel().basic_consume("halted", lambda *_: None, consumer_tag="idle")
        self.read("gets nothing", "tbody")
        consumer.close()
        self.read("paused", "h1")
        self.assertIsNone(self.channel.basic_get("halted")[0])
        self.go("#/queues?name=halted")
        until(lambda: any("paused" in row for row in self.rows()), "it is told in the list")
        self.go("#/")
        self.read("halted has been paused", ".needs")
        self.go("#/queues/%2F/halted")
        self.press("Resume")
        self.see(".say")
        until(lambda: "Pause…" in self.buttons(), "it can be paused again")
        self.assertIsNotNone(self.channel.basic_get("halted", auto_ack=True)[0])

    def test_delayed_messages_are_looked_at_delivered_and_cancelled(self):
        for hours in (3, 1, 2):
            self.publish("later", 1, b"in %d h" % hours, headers={"x-delay": hours * 3_600_000})
        self.go("#/queues/%2F/later")
        self.press("Look at those due next")
        letters = lambda: [it.text for it in self.driver.find_elements(By.CSS_SELECTOR, "button.waits")]
        until(lambda: len(letters()) == 3, "three messages")
        self.assertEqual([re.search(r"in \d h$", text.replace("\n", " ").split(" 6 B")[0])[0] for text in letters()], ["in 1 h", "in 2 h", "in 3 h"])
        self.driver.find_element(By.CSS_SELECTOR, "button.waits").click()
        self.press("Deliver now", ".message")
        until(lambda: self.ready("later") == 1, "the first is ready")
        until(lambda: len(letters()) == 2, "two messages")
        self.driver.find_element(By.CSS_SELECTOR, "button.waits").click()
        self.press("Cancel…", ".message")
        self.press("Cancel the message", "dialog")
        self.gone("dialog")
        until(lambda: len(letters()) == 1, "one message")
        self.assertEqual(self.ready("later"), 1)
        until(lambda: self.broker.api("GET", "queues/%2F/later")["messages_delayed"] == 1, "one is delayed")
        self.read("Delayed 1")
        self.press("Cancel all…")
        self.read("1 delayed message will be deleted", "dialog")
        self.see("dialog input").send_keys("later")
        self.press("Cancel 1 message", "dialog")
        self.gone("dialog")
        until(lambda: self.broker.api("GET", "queues/%2F/later")["messages_delayed"] == 0, "none is delayed")

    def test_parked_messages_say_why_they_wait(self):
        self.channel.queue_declare("retried", durable=True, arguments={"x-delayed-retry-min": 3_600_000})
        self.channel.basic_publish("", "retried", b"again", pika.BasicProperties(delivery_mode=2))
        method, _, _ = self.channel.basic_get("retried")
        self.channel.basic_nack(method.delivery_tag)
        self.go("#/queues/%2F/retried")
        self.press("Look at the first")
        self.see("button.waits").click()
        self.read("1 delivery so far; the last time it was refused", ".message")

    def test_lag_of_days_is_drawn_with_what_was_normal(self):
        self.publish("drawn", 3)
        self.go("#/queues/%2F/drawn")
        self.press("1 day")
        self.read("Nothing is known of that time.", ".chart")
        # What a broker of some days says.
        day = 96
        parts = [{"at": 1_764_518_400_000 + 900_000 * at, "peak": None if 20 <= at < 30 else 100 + at, "normal_peak": 150, "alert_line": 300} for at in range(day)]
        self.driver.execute_script("""
            const [before, answer] = [window.fetch, arguments[0]];
            window.fetch = (url, ...rest) => String(url).startsWith("/api/forebay/lag/")
                ? Promise.resolve(new Response(JSON.stringify(answer))) : before(url, ...rest);""", {"step_seconds": 900, "parts": parts})
        self.press("1 week")
        self.read("alert line", ".chart")
        self.read("normal up to", ".chart")
        chart = self.see(".chart svg")
        self.assertEqual(chart.get_attribute("aria-label"), "Lag: highest lag 195")
        self.assertEqual(len(chart.find_elements(By.CSS_SELECTOR, ".lag path.line")), 2, "a gap where nobody watched")
        self.assertEqual(len(chart.find_elements(By.CSS_SELECTOR, "path.normal, path.mark")), 2)
        self.press("10 min")
        self.read("held by consumers", ".chart")

    def test_the_life_of_a_message_is_told(self):
        self.channel.queue_declare("traced", durable=True, arguments={"x-trace": 10})
        for number in (1, 2):
            self.channel.basic_publish("", "traced", b"x", pika.BasicProperties(delivery_mode=2, message_id=f"order-{number}"))
        method, _, _ = self.channel.basic_get("traced")
        self.channel.basic_nack(method.delivery_tag)
        self.go("#/queues/%2F/traced")
        self.press("Look")
        lives = lambda: self.driver.find_elements(By.CSS_SELECTOR, "button.life")
        until(lambda: len(lives()) == 2, "two messages")
        self.see("[aria-label='Message id']").send_keys("order-1")
        until(lambda: len(lives()) == 1 and "came-back" in lives()[0].text, "the one")
        lives()[0].click()
        self.read("Published by guest, setup, channel", ".message .story")
        self.read("Delivered to guest, setup, channel", ".message .story")
        self.read("by basic.get; attempt 1", ".message .story")
        self.read("Came back: nacked.", ".message .story")

    # Schedules.

    def test_a_schedule_is_made_run_paused_changed_and_deleted(self):
        self.publish("reports", 0)
        self.go("#/schedules")
        self.press("New…")
        self.fill("name", "nightly")
        self.fill("cron", "every night")
        self.fill("routing_key", "reports")
        self.fill("payload", "all shops")
        self.press("Make the schedule", "dialog")
        self.see("dialog .refusal")
        self.fill("cron", "0 2 * * *")
        self.press("Make the schedule", "dialog")
        self.gone("dialog")
        until(lambda: any("nightly" in row and "active" in row for row in self.rows()), "it is active")
        self.press("Run now…")
        self.press("Publish the message", "dialog")
        self.gone("dialog")
        until(lambda: self.ready("reports") == 1, "its message")
        self.press("Pause")
        until(lambda: any("paused" in row for row in self.rows()), "it is paused")
        self.assertTrue(self.broker.api("GET", "schedules/%2F/nightly")["paused"])
        self.press("Resume")
        until(lambda: any("active" in row for row in self.rows()), "it goes on")
        self.press("Change…")
        self.fill("payload", "some shops")
        self.press("Change", "dialog")
        self.gone("dialog")
        changed = self.broker.api("GET", "schedules/%2F/nightly")
        self.assertEqual((changed["payload"], changed["cron"]), ("some shops", "0 2 * * *"))
        self.press("Delete…")
        self.press("Delete the schedule", "dialog")
        self.gone("dialog")
        self.read("There are no schedules.")

    # Dead letters.

    def test_dead_letters_are_read_as_a_story_and_redriven(self):
        self.publish("failing", 7, b'{"failed": true}')
        self.reject("failing", 7)
        self.publish("late", 0)
        self.go("#/dead-letters")
        self.press("failing.dlq")
        self.read("rejected", ".reasons")
        until(lambda: len(self.driver.find_elements(By.CSS_SELECTOR, "button.letter")) == 7, "seven messages")
        self.driver.find_element(By.CSS_SELECTOR, "button.letter").click()
        self.read("In failing it was rejected by its consumer", ".story")
        self.press("Redrive this one")
        until(lambda: self.ready("failing") == 1, "one is back")
        until(lambda: len(self.driver.find_elements(By.CSS_SELECTOR, "button.letter")) == 6, "six messages")
        self.driver.find_element(By.CSS_SELECTOR, "button.reason").click()
        self.read("Those from failing that were rejected")
        self.press("Redrive these…")
        self.read("6 messages will go back to failing", "dialog")
        self.press("Redrive 6 messages", "dialog")
        self.read("6 messages went back", "dialog")
        self.press("Close", "dialog")
        until(lambda: self.ready("failing") == 7, "all are back")
        self.reject("failing", 7)
        self.go("#/dead-letters")
        self.press("Redrive all…", ".card")
        self.press("Redrive 7 messages", "dialog")
        self.read("7 messages went back", "dialog")

    def test_the_broker_goes_on_with_a_redrive_at_a_rate(self):
        self.publish("paced", 9)
        self.reject("paced", 9)
        self.go("#/dead-letters/%2F/paced.dlq")
        self.press("Redrive all…")
        self.fill("rate", "1")
        self.press("Redrive 9 messages", "dialog")
        self.press("Leave it to the broker", "dialog")
        self.gone("dialog")
        self.read("Redrive at 1 a second, by guest")
        until(lambda: self.ready("paced") >= 2, "it goes on")
        self.press("Stop")
        until(lambda: self.broker.api("GET", "forebay/dead-letters/%2F/paced.dlq/redrive")["state"] == "stopped", "it stops")
        self.assertEqual(self.ready("paced") + self.ready("paced.dlq"), 9)
        self.assertLess(self.ready("paced"), 9)
        until(lambda: "Redrive at 1" not in self.see("#main").text, "it is not shown any more")
        self.press("Redrive all…")
        self.fill("rate", "1000")
        self.see("dialog button.primary").click()
        self.read("went back", "dialog")
        until(lambda: self.ready("paced") == 9, "all are back")
        self.press("Close", "dialog")

    # Exchanges.

    def test_where_a_message_would_go(self):
        self.channel.exchange_declare("events", "topic", durable=True)
        self.publish("paid", 0)
        self.channel.queue_bind("paid", "events", "order.*")
        self.go("#/exchanges")
        self.press("events")
        self.see("#routing-key").send_keys("order.paid")
        self.read("To 1 queue: paid", ".answer")
        self.see(".way.taken")
        self.see("#routing-key").send_keys(".twice")
        self.read("nowhere", ".answer")
        self.press("Delete…")
        self.read("1 binding will be gone", "dialog")
        self.press("Delete the exchange", "dialog")
        self.gone("dialog")
        self.assertNotIn("events", [it["name"] for it in self.broker.api("GET", "exchanges/%2F")])

    # What operators set.

    def test_a_policy_is_tested_made_changed_and_deleted(self):
        self.publish("policed", 0)
        self.go("#/policies")
        self.press("New…", "section")
        self.fill("name", "by-page")
        self.fill("pattern", "^(")
        self.see("dialog .refusal")
        self.fill("pattern", "^policed$")
        self.read("Matches 1 of", "dialog")
        self.fill("definition", '{"max-length": 5}')
        self.press("Make the policy", "dialog")
        self.gone("dialog")
        self.read("by-page")
        until(lambda: self.broker.api("GET", "queues/%2F/policed")["policy"] == "by-page", "it applies")
        self.press("Change…")
        self.fill("definition", '{"max-length": "many"}')
        self.press("Change", "dialog")
        self.see("dialog .refusal")
        self.fill("definition", '{"max-length": 6}')
        self.press("Change", "dialog")
        self.gone("dialog")
        self.read("max-length: 6")
        self.press("Delete…")
        self.press("Delete the policy", "dialog")
        self.gone("dialog")
        self.assertEqual([it for it in self.broker.api("GET", "policies") if it["name"] == "by-page"], [])

    def test_a_user_is_made_permitted_limited_and_deleted(self):
        self.go("#/users")
        self.press("New…")
        self.fill("name", "ops")
        self.fill("password", "secret")
        self.see("dialog [name=monitoring]").click()
        self.press("Make the user", "dialog")
        self.gone("dialog")
        self.read("ops")
        row = until(lambda: next((it for it in self.driver.find_elements(By.CSS_SELECTOR, "tbody tr") if it.text.startswith("ops")), None), "the row")
        self.assertIn("monitoring", row.text)

        def act(label):
            row = next(it for it in self.driver.find_elements(By.CSS_SELECTOR, "tbody tr") if it.text.startswith("ops"))
            next(it for it in row.find_elements(By.TAG_NAME, "button") if it.text == label).click()
        act("Permit…")
        self.fill("read", ".*")
        self.read("Matches", "dialog")
        self.press("Permit", "dialog")
        self.gone("dialog")
        self.assertEqual(self.broker.api("GET", "permissions/%2F/ops")["read"], ".*")
        act("Limits…")
        self.fill("max-connections", "3")
        self.press("Set", "dialog")
        self.gone("dialog")
        self.assertEqual(self.broker.api("GET", "user-limits/ops")[0]["value"], {"max-connections": 3})
        # Its password stays.
        act("Change…")
        self.see("dialog [name=policymaker]").click()
        self.press("Change", "dialog")
        self.gone("dialog")
        self.log_in("ops", "secret")
        self.log_in("guest", "guest")
        self.go("#/users")
        self.read("policymaker")
        act("Delete…")
        self.press("Delete the user", "dialog")
        self.gone("dialog")
        self.assertNotIn("ops", [it["name"] for it in self.broker.api("GET", "users")])

    def test_a_virtual_host_is_made_limited_and_deleted(self):
        self.go("#/vhosts")
        self.press("New…")
        self.fill("name", "shop")
        self.press("Make it", "dialog")
        self.gone("dialog")
        self.read("shop", "tbody")
        self.see("header select")
        self.broker.api("PUT", "queues/shop/q", {})
        row = next(it for it in self.driver.find_elements(By.CSS_SELECTOR, "tbody tr") if it.text.startswith("shop"))
        next(it for it in row.find_elements(By.TAG_NAME, "button") if it.text == "Limits…").click()
        self.fill("max-queues", "9")
        self.press("Set", "dialog")
        self.gone("dialog")
        self.read("queues ≤ 9")
        row = next(it for it in self.driver.find_elements(By.CSS_SELECTOR, "tbody tr") if it.text.startswith("shop"))
        next(it for it in row.find_elements(By.TAG_NAME, "button") if it.text == "Delete…").click()
        self.read("1 queue, 0 messages", "dialog")
        self.see("dialog input").send_keys("shop")
        self.press("Delete all of it", "dialog")
        self.gone("dialog")
        self.assertNotIn("shop", [it["name"] for it in self.broker.api("GET", "vhosts")])

    def test_definitions_go_out_and_come_in(self):
        self.publish("defined", 0)
        self.go("#/definitions")
        self.press("Download")
        file = until(lambda: next(iter(pathlib.Path(self.downloads.name).glob("definitions-*.json")), None), "the file")
        definitions = json.loads(file.read_text(encoding="utf-8"))
        self.assertIn("defined", [it["name"] for it in definitions["queues"]])
        self.channel.queue_delete("defined")
        self.driver.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(file))
        self.press("Import", "dialog")
        self.gone("dialog")
        self.assertEqual(self.ready("defined"), 0)
        wrong = pathlib.Path(self.downloads.name, "wrong.json")
        wrong.write_text('{"queues": [{"name": 5}]}', encoding="utf-8")
        self.driver.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(wrong))
        self.press("Import", "dialog")
        self.see("dialog .refusal")

    # What users may not do is not offered.

    def test_a_user_is_offered_what_it_may_do(self):
        self.publish("fenced", 1)
        self.broker.api("PUT", "users/watcher", {"password": "watcher", "tags": "monitoring"})
        self.broker.api("PUT", "permissions/%2F/watcher", {"configure": "", "write": "", "read": "^fenced$"})
        self.log_in("watcher", "watcher")
        views = {it.text for it in self.driver.find_elements(By.CSS_SELECTOR, "header nav a")}
        self.assertNotIn("Users", views)
        self.assertNotIn("Definitions", views)
        self.go("#/queues/%2F/fenced")
        self.read("Purge…", ".acts")
        self.assertEqual(self.buttons() & {"Publish…", "Delete…"}, set())
        for view, text in [("policies", "Operator policies"), ("schedules", "There are no schedules.")]:
            self.go(f"#/{view}")
            self.read(text)
            self.assertNotIn("New…", self.buttons())
        self.go("#/vhosts")
        self.see("tbody tr")
        self.assertEqual(self.buttons() & {"New…", "Limits…", "Delete…"}, set())
        self.go("#/users")
        self.see("#main .figures")
        self.broker.api("DELETE", "users/watcher")
        self.read("The session has ended")

    # The page over time and in all forms.

    def test_a_broker_restarts_under_an_open_page(self):
        self.publish("kept", 2)
        self.go("#/queues/%2F/kept")
        self.read("kept", "h1")
        self.broker.stop()
        self.read("can't be reached")
        self.broker.start()
        type(self).connection = self.broker.connect(connection_name="setup")
        type(self).channel = self.connection.channel()
        self.read("The session has ended")
        self.enter("guest", "guest")
        self.read("kept", "h1")
        until(lambda: "live" in self.see("header").text, "live again")

    def test_ten_thousand_queues(self):
        queues = [{"name": f"many-{number:05}", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}} for number in range(10_000)]
        self.broker.api("POST", "definitions", {"queues": queues})
        self.go("#/queues?sort=name&up=1")
        until(lambda: len(self.rows()) == 50, "a page")
        self.read("10,0", "h1")
        self.press("Next ›")
        until(lambda: "51–100 of" in self.see(".pager").text, "the second page")
        self.see("[type=search]").send_keys("many-09999")
        until(lambda: [row for row in self.rows() if "many-09999" in row] and len(self.rows()) == 1, "the one")
        self.go("#/")
        self.read("10.0k queues", ".tally")
        names = [queue["name"] for queue in queues]
        for name in names:
            self.channel.queue_delete(name)

    def test_everything_has_a_name_and_fits_a_phone(self):
        self.publish("narrow", 3)
        self.reject("narrow", 1)
        self.broker.api("PUT", "schedules/%2F/narrow", {"cron": "0 2 * * *", "routing_key": "narrow"})
        views = ["#/", "#/queues", "#/queues/%2F/narrow", "#/dead-letters", "#/dead-letters/%2F/narrow.dlq", "#/connections", "#/exchanges",
                 "#/exchanges/%2F/amq.topic", "#/schedules", "#/policies", "#/users", "#/vhosts", "#/definitions"]
        for view in views:
            self.size(1360, 900)
            self.go(view)
            self.see("h1") if view != "#/" else self.see(".figures")
            for element in self.driver.find_elements(By.CSS_SELECTOR, "button, a, input, select, textarea, [role=img]"):
                try:
                    if element.is_displayed():
                        self.assertTrue(element.accessible_name.strip(), f"{view}: {element.get_attribute('outerHTML')}")
                except StaleElementReferenceException:
                    pass
            self.size(390, 844, phone=True)
            until(lambda: self.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), f"{view} fits a phone")
        self.broker.api("DELETE", "schedules/%2F/narrow")

    def test_colours_follow_the_choice(self):
        ground = "return getComputedStyle(document.body).backgroundColor"
        self.press("guest", "header")
        self.press("light", "header")
        light = self.driver.execute_script(ground)
        self.press("dark", "header")
        until(lambda: self.driver.execute_script(ground) != light, "dark")
        self.driver.refresh()
        self.see("nav a[aria-current]")
        self.assertNotEqual(self.driver.execute_script(ground), light)


if __name__ == "__main__":
    unittest.main(verbosity=2)
