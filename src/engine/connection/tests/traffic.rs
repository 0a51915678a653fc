use super::*;
use crate::connection::{ChannelMode, OpenChannel, Traffic};
use crate::model::ChannelId;

#[test]
fn what_is_published_is_counted_once_and_by_its_end() {
    let mut client = Client::open();
    client.declare("q");
    let plain = Properties::default();
    client.publish(to("q"), &plain, b"x");
    client.publish(to("nowhere"), &plain, &[b'y'; 101]);
    client.send(1, ConfirmSelect { no_wait: true });
    client.publish(BasicPublish { mandatory: true, ..to("nowhere") }, &plain, b"z");
    client.publish(to("q"), &plain, b"x");
    let Traffic {
        received,
        received_confirm,
        confirmed_at_once,
        returned,
        dropped,
        channels_opened,
        sizes,
        bytes,
    } = client.connection.poll_traffic();
    assert_eq!((received, returned, dropped), (4, 1, 1));
    assert_eq!((received_confirm, confirmed_at_once), (2, 1));
    assert_eq!((channels_opened, bytes), (1, 104));
    assert_eq!(sizes[..3], [3, 1, 0]);
    assert_eq!(client.connection.poll_traffic(), Traffic::default());
}

#[test]
fn a_channel_is_a_publisher_from_its_first_message_to_its_end() {
    let mut client = Client::open();
    client.open_channel(2);
    assert_eq!(client.connection.count_publishers(), 0);
    let plain = Properties::default();
    client.publish(to("q"), &plain, b"x");
    client.publish(to("q"), &plain, b"x");
    client.feed(&publish_bytes(2, &to("q"), &plain, b"x"));
    assert_eq!(client.connection.count_publishers(), 2);
    // One ends by a fault, the other by its client.
    client.publish(BasicPublish { exchange: name("nox"), ..to("q") }, &plain, b"x");
    client.answered();
    assert_eq!(client.connection.count_publishers(), 1);
    client.send(2, ChannelClose::default());
    client.answered();
    assert_eq!(client.connection.count_publishers(), 0);
}

#[test]
fn channels_are_told_when_one_of_them_has_changed() {
    let mut client = Client::open();
    let open = |id, mode, prefetch| OpenChannel {
        id: ChannelId(id),
        mode,
        prefetch,
        unacked: 0,
        unconfirmed: 0,
        publishes_uncommitted: 0,
        acks_uncommitted: 0,
    };
    let first = open(1, ChannelMode::Plain, 0);
    assert_eq!(client.connection.poll_channels(), Some(vec![first]));
    client.publish(to("q"), &Properties::default(), b"x");
    assert_eq!(client.connection.poll_channels(), None);
    client.open_channel(7);
    client.send(7, ConfirmSelect { no_wait: true });
    client.send(7, BasicQos { prefetch_count: 5, ..BasicQos::default() });
    let second = open(7, ChannelMode::Confirm, 5);
    assert_eq!(client.connection.poll_channels(), Some(vec![first, second]));
    client.send(1, TxSelect {});
    let first = open(1, ChannelMode::Transaction, 0);
    assert_eq!(client.connection.poll_channels(), Some(vec![first, second]));
    client.send(7, ChannelClose::default());
    client.answered();
    assert_eq!(client.connection.poll_channels(), Some(vec![first]));
}
