//! Recorded series of queues, read from files: comma-separated values, or what Prometheus answers.

mod columns;
pub(crate) mod moment;
mod recordings;
mod series;
mod tables;

pub(crate) use recordings::Recording;

use std::path::PathBuf;

/// Reads files into a recording for each queue that they tell of. `step` is the time from row to row, in seconds, in files
/// without times.
///
/// # Errors
/// A text that names the file and what is wrong, or says that they tell of no queue's lag.
pub(crate) fn read(files: &[PathBuf], step: f64) -> Result<Vec<Recording>, String> {
    let mut series = Vec::new();
    for file in files {
        series.extend(tables::read(file, step.max(1.0))?);
    }
    let recordings = recordings::recordings(series);
    if recordings.is_empty() {
        return Err(
            "the files tell of no queue's lag; expected a series of lag, or of ready messages"
                .to_owned(),
        );
    }
    Ok(recordings)
}
