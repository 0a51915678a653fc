//! The file of contexts: what is kept of each broker, and which one is selected.
//!
//! It may hold passwords, so that only its owner may read it: it is written with mode 0600, by a rename, and refused when
//! others can read it.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes of the file: hundreds of contexts.
const CONTEXT_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of a context's name.
const CONTEXT_NAME_BYTES_MAX: usize = 100;

/// What can be kept of a broker; the names of flags with underscores.
pub(crate) const SETTINGS: [&str; 16] = [
    "description",
    "url",
    "cacertfile",
    "certfile",
    "keyfile",
    "admin",
    "admin_cacertfile",
    "admin_certfile",
    "admin_keyfile",
    "metrics",
    "metrics_cacertfile",
    "metrics_certfile",
    "metrics_keyfile",
    "user",
    "password",
    "password_file",
];

/// The settings of one broker by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Context(BTreeMap<String, String>);

impl Context {
    pub(crate) fn get(&self, setting: &str) -> Option<&str> {
        self.0.get(setting).map(String::as_str)
    }

    pub(super) fn set(&mut self, setting: &str, value: String) {
        self.0.insert(setting.to_owned(), value);
    }

    pub(super) fn clear(&mut self, setting: &str) {
        self.0.remove(setting);
    }

    fn read(name: &str, value: &Value) -> Result<Self, String> {
        let wrong = |what: &str| format!("context `{name}`: {what}");
        let members = value.as_object().ok_or_else(|| wrong("expected an object"))?;
        let mut settings = BTreeMap::new();
        for (setting, value) in members {
            let value = value.as_str().ok_or_else(|| wrong(&format!("{setting} is no text")))?;
            if !SETTINGS.contains(&setting.as_str()) {
                return Err(wrong(&format!(
                    "`{setting}` is no setting, known are {}",
                    SETTINGS.join(", ")
                )));
            }
            settings.insert(setting.clone(), value.to_owned());
        }
        Ok(Self(settings))
    }
}

/// What the file says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ContextFile {
    pub(super) selected: Option<String>,
    pub(super) contexts: BTreeMap<String, Context>,
}

impl ContextFile {
    /// The user's own file; nothing when it was never written.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(crate) fn load() -> Result<Self, String> {
        match path() {
            Some(path) => Self::load_from(&path),
            None => Ok(Self::default()),
        }
    }

    fn load_from(path: &Path) -> Result<Self, String> {
        let fault = |reason: String| format!("contexts in {}: {reason}", path.display());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fault(error.to_string())),
        };
        let metadata = file.metadata().map_err(|error| fault(error.to_string()))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            let text = format!(
                "others can read it, and it may hold passwords; chmod 600 {}",
                path.display()
            );
            return Err(fault(text));
        }
        let mut bytes = Vec::new();
        let read = file.take(CONTEXT_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| fault(error.to_string()))?;
        if bytes.len() as u64 > CONTEXT_FILE_BYTES_MAX {
            return Err(fault(format!("longer than {CONTEXT_FILE_BYTES_MAX} bytes")));
        }
        Self::parse(&bytes).map_err(fault)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let contexts = value.get("contexts").and_then(Value::as_object);
        let contexts = contexts.ok_or("expected an object with the member `contexts`")?;
        let read =
            |(name, value): (&String, &Value)| Ok((name.clone(), Context::read(name, value)?));
        let selected = value.get("selected").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { selected, contexts: contexts.iter().map(read).collect::<Result<_, String>>()? })
    }

    /// Replaces the user's file.
    ///
    /// # Errors
    /// When it can't be written, or there is no place for it.
    pub(super) fn save(&self) -> Result<(), String> {
        let path = path().ok_or("neither XDG_CONFIG_HOME nor HOME says where contexts are kept")?;
        self.save_to(&path).map_err(|error| format!("contexts in {}: {error}", path.display()))
    }

    fn save_to(&self, path: &Path) -> std::io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Readable by its owner only.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(format!("{:#}\n", self.json()).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    fn json(&self) -> Value {
        let settings = |context: &Context| {
            context
                .0
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect::<Map<_, _>>()
        };
        let contexts: Map<_, _> = self
            .contexts
            .iter()
            .map(|(name, context)| (name.clone(), settings(context).into()))
            .collect();
        json!({ "selected": self.selected, "contexts": contexts })
    }

    /// A context that must be there.
    ///
    /// # Errors
    /// Names those that are.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, String> {
        self.contexts.get(name).ok_or_else(|| {
            let names: Vec<_> = self.contexts.keys().map(|name| format!("`{name}`")).collect();
            match names.as_slice() {
                [] => format!("no context `{name}`; `forebay context save {name}` makes one"),
                names => format!("no context `{name}`; there are {}", names.join(", ")),
            }
        })
    }
}

/// A name that is easy to type.
///
/// # Errors
/// Says which characters are allowed.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    let is_name = !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain);
    match is_name && text.len() <= CONTEXT_NAME_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a context's name has letters, digits and - _ . @, and at most {CONTEXT_NAME_BYTES_MAX} bytes"
        )),
    }
}

fn path() -> Option<PathBuf> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification ignores a relative path.
    let config = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(variable("HOME")?.join(".config")));
    Some(config?.join("forebay").join("contexts.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_no_one_else_reads_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("forebay").join("contexts.json");
        assert_eq!(ContextFile::load_from(&path), Ok(ContextFile::default()));
        let mut prod = Context::default();
        prod.set("url", "amqp://broker".to_owned());
        prod.set("password", "secret".to_owned());
        let contexts = BTreeMap::from([("prod".to_owned(), prod)]);
        let file = ContextFile { selected: Some("prod".to_owned()), contexts };
        file.save_to(&path).unwrap();
        assert_eq!(ContextFile::load_from(&path), Ok(file));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = ContextFile::load_from(&path).unwrap_err();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_file_that_is_none_says_what_is_wrong() {
        for (text, reason) in [
            ("", "EOF"),
            ("[]", "`contexts`"),
            (r#"{"contexts": {"a": {"ulr": "x"}}}"#, "`ulr` is no setting"),
            (r#"{"contexts": {"a": {"url": 1}}}"#, "url is no text"),
        ] {
            let fault = ContextFile::parse(text.as_bytes()).unwrap_err();
            assert!(fault.contains(reason), "{text}: {fault}");
        }
    }

    #[test]
    fn a_name_is_easy_to_type() {
        assert_eq!(name("prod-1.eu@x"), Ok("prod-1.eu@x".to_owned()));
        for wrong in ["", "-x", "a b", "a/b", "a\u{1b}", &"x".repeat(101)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
