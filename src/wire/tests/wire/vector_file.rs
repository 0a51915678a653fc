//! Reads the golden vectors of `protocol-spec/vectors/`; its README has the format.

use std::path::Path;

/// One vector.
#[derive(Debug, Default)]
pub(crate) struct Vector {
    /// File and name, for messages.
    pub(crate) name: String,
    /// Everything that is received.
    pub(crate) bytes: Vec<u8>,
    /// The frames in it, as text.
    pub(crate) frames: Vec<String>,
    /// The frame size limit of the receiver, in bytes.
    pub(crate) frame_size_max: u32,
    /// Read, but written otherwise.
    pub(crate) is_oneway: bool,
    /// What the bytes after the frames are answered with.
    pub(crate) close: Option<Close>,
}

/// A fault and how early it must be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) reply_code: u16,
    pub(crate) class_id: u16,
    pub(crate) method_id: u16,
    /// Bytes after which it is certain.
    pub(crate) after: usize,
}

/// Every vector of every file.
pub(crate) fn all() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-spec/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Vector> {
    let mut vectors = Vec::<Vector>::new();
    let file_name = file.file_name().unwrap().to_string_lossy().into_owned();
    for (number, line) in std::fs::read_to_string(file).unwrap().lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "vector" {
            let name = format!("{file_name}: {rest}");
            vectors.push(Vector { name, frame_size_max: 131_072, ..Vector::default() });
            continue;
        }
        let vector = vectors.last_mut().expect("a file begins with a vector");
        match word {
            "octets" => vector.bytes.extend(hex(rest)),
            "frame" => vector.frames.push(rest.to_owned()),
            "limit" => vector.frame_size_max = rest.parse().unwrap(),
            "oneway" => vector.is_oneway = true,
            "close" => vector.close = Some(close(rest)),
            "after" => vector.close.as_mut().unwrap().after = rest.parse().unwrap(),
            _ => panic!("{file_name}, line {}: unknown word {word:?}", number + 1),
        }
    }
    vectors
}

fn close(text: &str) -> Close {
    let numbers: Vec<u16> = text.split(' ').map(|number| number.parse().unwrap()).collect();
    let [reply_code, class_id, method_id] = numbers[..] else {
        panic!("close wants code, class and method, not {text:?}");
    };
    Close { reply_code, class_id, method_id, after: 0 }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let bytes = digits.chunks(2);
    bytes.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}
