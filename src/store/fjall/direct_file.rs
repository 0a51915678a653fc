//! A file read from front to back past the system's cache, so that what is on the disk is what is read,
//! and nothing that is in use is pushed out of the cache.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Of places in files and in memory, as any disk wants it.
const ALIGNMENT: usize = 4096;

/// An open file.
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: File,
    at: u64,
    buffer: Vec<u8>,
    window_size: usize,
}

impl DirectFile {
    /// `window_size`: bytes that are read at a time.
    pub(crate) fn open(path: &Path, window_size: usize) -> io::Result<Self> {
        let window_size = window_size.next_multiple_of(ALIGNMENT);
        let direct = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(path);
        let file = match direct {
            Ok(file) => file,
            // This file system knows no such reads.
            Err(error) if error.kind() == ErrorKind::InvalidInput => File::open(path)?,
            Err(error) => return Err(error),
        };
        Ok(Self { file, at: 0, buffer: vec![0; window_size + ALIGNMENT], window_size })
    }

    /// The next bytes; none at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<&[u8]> {
        let start = self.buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let window = self.buffer.get_mut(start..start + self.window_size).unwrap_or_default();
        let mut size = 0;
        // Only at the end of a file there are fewer than asked for, and no multiple of the alignment.
        while size < window.len() && size.is_multiple_of(ALIGNMENT) {
            let rest = window.get_mut(size..).unwrap_or_default();
            match self.file.read_at(rest, self.at + size as u64) {
                Ok(0) => break,
                Ok(read) => size += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += size as u64;
        Ok(window.get(..size).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        for size in [0, 1, 4096, 8191, 70_000] {
            let path = directory.path().join(size.to_string());
            let content: Vec<u8> = (0..size).map(|byte: u32| byte as u8).collect();
            std::fs::write(&path, &content).unwrap();
            let mut file = DirectFile::open(&path, 8192).unwrap();
            let mut read = Vec::new();
            loop {
                let window = file.next().unwrap();
                if window.is_empty() {
                    break;
                }
                read.extend_from_slice(window);
            }
            assert_eq!(read, content);
        }
    }
}
