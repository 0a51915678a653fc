//! Walking over a range of keys of which some can't be read: the walk goes on behind the damaged
//! block, and says from which key on something is missing.

use crate::database::{self, Error, Space, View};
use bytes::Bytes;

/// Keys are taken as numbers of so many octets; longer ones by their beginning.
const KEY_SIZE: usize = 27;

/// Calls `take` for each readable item; gives back the ranges (from a key on, to below a key, or to
/// the end) that can't be read.
pub(crate) fn walk<E: From<Error>>(
    view: &View,
    space: Space,
    first: &Bytes,
    last: &Bytes,
    mut take: impl FnMut(Bytes, Bytes) -> Result<(), E>,
) -> Result<Vec<(Bytes, Option<Bytes>)>, E> {
    let mut unreadable = Vec::new();
    let mut from = first.clone();
    'again: loop {
        let mut reached = from.clone();
        for item in view.range(space, &from, last) {
            match item {
                Ok((key, value)) => {
                    reached = successor(&key);
                    take(key, value)?;
                }
                Err(error) if database::is_damage(&error) => {
                    let next = behind(view, space, &reached, last);
                    unreadable.push((reached, next.clone()));
                    match next {
                        Some(next) => from = next,
                        None => return Ok(unreadable),
                    }
                    continue 'again;
                }
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(unreadable);
    }
}

/// The least key in the order of keys above this one.
fn successor(key: &Bytes) -> Bytes {
    key.iter().copied().chain([0]).collect()
}

/// The lowest number above `from` from which on the next item can be read, near by.
fn behind(view: &View, space: Space, from: &Bytes, last: &Bytes) -> Option<Bytes> {
    let is_readable = |number: &[u8; KEY_SIZE]| {
        view.range(space, number, last).next().is_none_or(|item| item.is_ok())
    };
    let mut number = [0; KEY_SIZE];
    for (octet, value) in number.iter_mut().zip(from) {
        *octet = *value;
    }
    let bits = 0..KEY_SIZE * 8;
    let reach = bits
        .into_iter()
        .find(|bit| plus(&number, *bit).is_none_or(|number| is_readable(&number)))?;
    for bit in (0..reach).rev() {
        if let Some(higher) = plus(&number, bit).filter(|higher| !is_readable(higher)) {
            number = higher;
        }
    }
    let next = Bytes::copy_from_slice(&plus(&number, 0)?);
    (next <= *last).then_some(next)
}

/// The number plus 2 to the power of `bit`, unless it is too large.
fn plus(number: &[u8; KEY_SIZE], bit: usize) -> Option<[u8; KEY_SIZE]> {
    let mut sum = *number;
    let mut carry = 1_u16 << (bit % 8);
    for octet in sum.iter_mut().rev().skip(bit / 8) {
        carry += u16::from(*octet);
        *octet = carry as u8;
        carry >>= 8;
    }
    (carry == 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_with_their_carry() {
        let mut number = [0; KEY_SIZE];
        number[KEY_SIZE - 1] = 255;
        let sum = plus(&number, 0).unwrap();
        assert_eq!((sum[KEY_SIZE - 2], sum[KEY_SIZE - 1]), (1, 0));
        assert_eq!(plus(&number, 8).unwrap()[KEY_SIZE - 2], 1);
        assert_eq!(plus(&[255; KEY_SIZE], 3), None);
    }
}
