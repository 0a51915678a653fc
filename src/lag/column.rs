//! A column of bytes in a record, as it is or as runs, whichever is shorter: quiet hours take no room.

const PLAIN: u8 = 0;
const RUNS: u8 = 1;

/// Appends a column.
pub(crate) fn write(record: &mut Vec<u8>, column: &[u8]) {
    let mut runs: Vec<u8> = Vec::new();
    for &byte in column {
        match runs.as_mut_slice() {
            [.., count, last] if *last == byte && *count < u8::MAX => *count += 1,
            _ => runs.extend([1, byte]),
        }
    }
    if runs.len() < column.len() {
        record.push(RUNS);
        record.extend(runs);
    } else {
        record.push(PLAIN);
        record.extend(column);
    }
}

/// Takes a column of this length from the front of what is left of a record; `None` when there is none.
pub(crate) fn read(record: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (&kind, mut rest) = record.split_first()?;
    let mut column = Vec::with_capacity(length);
    match kind {
        PLAIN => {
            let (plain, after) = rest.split_at_checked(length)?;
            column.extend(plain);
            rest = after;
        }
        RUNS => {
            while column.len() < length {
                let (run, after) = rest.split_at_checked(2)?;
                let [count, byte] = *run else { return None };
                if count == 0 || column.len() + usize::from(count) > length {
                    return None;
                }
                column.resize(column.len() + usize::from(count), byte);
                rest = after;
            }
        }
        _ => return None,
    }
    *record = rest;
    Some(column)
}
