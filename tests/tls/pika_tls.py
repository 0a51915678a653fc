"""pika over TLS: both versions, a login by password and one by certificate.

Arguments: the port, and the directory with authority.pem, guest.pem and guest.key.
"""

import pathlib
import ssl
import sys

import pika

port, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])


def context(version):
    made = ssl.create_default_context(cafile=directory / "authority.pem")
    made.minimum_version = made.maximum_version = version
    return made


def there_and_back(made, credentials):
    parameters = pika.ConnectionParameters(
        "localhost",
        port,
        ssl_options=pika.SSLOptions(made, "localhost"),
        credentials=credentials,
    )
    connection = pika.BlockingConnection(parameters)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    body = b"x" * 1_000_000
    channel.basic_publish("", queue, body)
    method, _, got = channel.basic_get(queue)
    assert got == body
    channel.basic_ack(method.delivery_tag)
    connection.close()


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    there_and_back(context(version), pika.PlainCredentials("guest", "guest"))
    certified = context(version)
    certified.load_cert_chain(directory / "guest.pem", directory / "guest.key")
    there_and_back(certified, pika.credentials.ExternalCredentials())
print("all well")
