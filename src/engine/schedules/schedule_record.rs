//! A schedule as a record of the store. How far it has come stands in a record of its own, which changes with
//! every due time.
//!
//! ```text
//! key    's' vhost:short name:short
//! value  version:u8 flags:u8 catch_up:u8 cron:short time_zone:short exchange:short routing_key:short
//!        properties:long body_size:u32 body
//!
//! short: length:u8 bytes; long: length:u16 bytes; properties: as on the wire; flags: 1 paused;
//! catch_up: 0 none, 1 last, 2 all; integers big endian
//! ```

use super::catch_up::CatchUp;
use super::schedule::{Schedule, ScheduleKey};
use crate::model::ObjectName;
use crate::operation::Operation;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use forebay_wire::{RawProperties, ShortStr};

/// What the key begins with.
pub(crate) const KIND_SCHEDULE: u8 = b's';

const VERSION: u8 = 1;
const FLAG_PAUSED: u8 = 1;

pub(crate) fn put_schedule(vhost: &ShortStr, schedule: &Schedule) -> Operation {
    let mut value = BytesMut::from_iter([VERSION]);
    value.put_u8(if schedule.is_paused { FLAG_PAUSED } else { 0 });
    value.put_u8(schedule.catch_up.number());
    let (cron, zone) = (&schedule.cron, &schedule.time_zone);
    for text in [cron, zone, &schedule.exchange, &schedule.routing_key] {
        put_short(&mut value, text);
    }
    let properties = schedule.properties.as_bytes();
    // The lengths of both are bounded far below.
    value.put_u16(properties.len() as u16);
    value.put_slice(properties);
    value.put_u32(schedule.body.len() as u32);
    value.put_slice(&schedule.body);
    Operation::PutRecord { key: key(vhost, &schedule.name), value: value.freeze() }
}

pub(crate) fn remove_schedule(vhost: &ShortStr, name: &ShortStr) -> Operation {
    Operation::RemoveRecord { key: key(vhost, name) }
}

/// Reads a record of version 1.
///
/// # Errors
/// Names the part that can't be read.
pub(crate) fn read_schedule(
    key: &Bytes,
    value: &Bytes,
) -> Result<(ScheduleKey, Schedule), &'static str> {
    let mut key = key.slice(1.min(key.len())..);
    let (vhost, name) = (short(&mut key, "vhost")?, short(&mut key, "name")?);
    if key.has_remaining() {
        return Err("name");
    }
    let mut value = value.slice(1.min(value.len())..);
    let flags = value.try_get_u8().ok().filter(|flags| flags & !FLAG_PAUSED == 0);
    let is_paused = flags.ok_or("flags")? & FLAG_PAUSED != 0;
    let catch_up = value.try_get_u8().ok().and_then(CatchUp::from_number).ok_or("catch-up")?;
    let (cron, time_zone) = (short(&mut value, "cron")?, short(&mut value, "time zone")?);
    let (exchange, routing_key) =
        (short(&mut value, "exchange")?, short(&mut value, "routing key")?);
    let length = value.try_get_u16().map_err(|_| "properties")?;
    let properties = take(&mut value, usize::from(length), "properties")?;
    let properties = RawProperties::parse(properties).map_err(|_| "properties")?;
    let length = value.try_get_u32().map_err(|_| "body")?;
    let body = take(&mut value, length as usize, "body")?;
    if value.has_remaining() {
        return Err("end");
    }
    let schedule = Schedule {
        name: name.clone(),
        cron,
        time_zone,
        exchange: ObjectName::stored(exchange),
        routing_key,
        properties: properties.detached(),
        body: Bytes::copy_from_slice(&body),
        catch_up,
        is_paused,
    };
    Ok((ScheduleKey { vhost, name }, schedule))
}

fn key(vhost: &ShortStr, name: &ShortStr) -> Bytes {
    let mut key = BytesMut::from_iter([KIND_SCHEDULE]);
    put_short(&mut key, vhost);
    put_short(&mut key, name);
    key.freeze()
}

/// Its length fits one byte.
fn put_short(out: &mut BytesMut, text: &ShortStr) {
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
}

fn short(rest: &mut Bytes, part: &'static str) -> Result<ShortStr, &'static str> {
    let length = rest.try_get_u8().map_err(|_| part)?;
    let text = take(rest, usize::from(length), part)?;
    ShortStr::try_from(text).map(|text| text.detached()).map_err(|_| part)
}

fn take(rest: &mut Bytes, length: usize, part: &'static str) -> Result<Bytes, &'static str> {
    if rest.len() < length {
        return Err(part);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::ScheduleRequest;
    use forebay_wire::{FieldTable, Properties};
    use proptest::prelude::*;

    #[test]
    fn a_schedule_comes_back_as_it_was() {
        let (vhost, name) = (ShortStr::from_static("/"), ShortStr::from_static("nightly"));
        let mut headers = FieldTable::new();
        headers.insert(ShortStr::from_static("shop"), "north");
        let properties = Properties { headers: Some(headers), ..Properties::default() };
        for (catch_up, is_paused) in [(CatchUp::None, true), (CatchUp::All, false)] {
            let request = ScheduleRequest {
                name: &name,
                cron: "0 2 * * *",
                time_zone: "Europe/Berlin",
                exchange: &ObjectName::from_static("jobs"),
                routing_key: &ShortStr::from_static("report"),
                properties: &properties,
                body: Bytes::from_static(b"{}"),
                catch_up,
                is_paused,
            };
            let schedule = Schedule::new(request).unwrap();
            let Operation::PutRecord { key, value } = put_schedule(&vhost, &schedule) else {
                panic!()
            };
            let expected = ScheduleKey { vhost: vhost.clone(), name: name.clone() };
            assert_eq!(read_schedule(&key, &value), Ok((expected, schedule)));
        }
    }

    proptest! {
        #[test]
        fn no_record_makes_reading_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = read_schedule(&key.into(), &value.into());
        }
    }
}
