//! `RABBITMQ_DEFAULT_USER`, `…_PASS` and `…_VHOST`, as RabbitMQ's container image reads them: each
//! from the variable itself or, where its name ends with `_FILE`, from the file that it names.

use crate::auth::user::DefaultUser;
use forebay_wire::ShortStr;
use forebay_wire::limits::SHORT_STR_LENGTH_MAX;
use std::path::PathBuf;

/// The virtual host that exists from the start when nothing else is said.
pub const VHOST_DEFAULT: &str = "/";

/// What the variables say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RabbitmqDefaults {
    /// The user that an empty data directory gets.
    pub user: DefaultUser,
    /// The virtual host that exists from the start.
    pub vhost: ShortStr,
}

/// Why the variables can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RabbitmqDefaultsError {
    /// A user, and everybody would know its password.
    #[error(
        "RABBITMQ_DEFAULT_USER is set, but its password is not: set RABBITMQ_DEFAULT_PASS, or \
         RABBITMQ_DEFAULT_PASS_FILE to a file that holds it"
    )]
    NoPassword,
    /// The variable and the one with a file.
    #[error("{name} and {name}_FILE are both set; expected one of them")]
    Both {
        /// The variable.
        name: &'static str,
    },
    /// The file can't be read, or is no text.
    #[error("cannot read {}, which {name}_FILE names: {error}", path.display())]
    File {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file says nothing.
    #[error("{}, which {name}_FILE names, is empty; expected a value in it", path.display())]
    EmptyFile {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A name is too long.
    #[error("{name} is {length} bytes long; at most {SHORT_STR_LENGTH_MAX} are allowed")]
    TooLong {
        /// The variable.
        name: &'static str,
        /// Its length, in bytes.
        length: usize,
    },
}

impl Default for RabbitmqDefaults {
    fn default() -> Self {
        Self { user: DefaultUser::default(), vhost: ShortStr::from_static(VHOST_DEFAULT) }
    }
}

impl RabbitmqDefaults {
    /// Reads the process's environment; empty variables count as absent.
    ///
    /// # Errors
    /// When a file can't be read, and when a user has no password.
    pub fn from_environment() -> Result<Self, RabbitmqDefaultsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, RabbitmqDefaultsError> {
        let value = |name| value(&variable, name);
        let (user, pass) = (value("RABBITMQ_DEFAULT_USER")?, value("RABBITMQ_DEFAULT_PASS")?);
        let is_named = user.is_some() || pass.is_some();
        let mut default = DefaultUser { is_named, ..DefaultUser::default() };
        match (user, pass) {
            (Some(_), None) => return Err(RabbitmqDefaultsError::NoPassword),
            (user, Some(pass)) => {
                if let Some(name) = user {
                    default.name = short("RABBITMQ_DEFAULT_USER", name)?;
                }
                default.password = pass;
            }
            (None, None) => {}
        }
        let vhost = match value("RABBITMQ_DEFAULT_VHOST")? {
            Some(name) => short("RABBITMQ_DEFAULT_VHOST", name)?,
            None => ShortStr::from_static(VHOST_DEFAULT),
        };
        Ok(Self { user: default, vhost })
    }
}

fn short(name: &'static str, value: String) -> Result<ShortStr, RabbitmqDefaultsError> {
    let length = value.len();
    ShortStr::try_from(value.as_str()).map_err(|_| RabbitmqDefaultsError::TooLong { name, length })
}

fn value(
    variable: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<String>, RabbitmqDefaultsError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let path = match (set(name), set(&format!("{name}_FILE"))) {
        (Some(_), Some(_)) => return Err(RabbitmqDefaultsError::Both { name }),
        (value, None) => return Ok(value),
        (None, Some(path)) => PathBuf::from(path),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let path = path.clone();
        RabbitmqDefaultsError::File { name, path, error }
    })?;
    // Editors and `echo` end a file with a line feed, which is no part of a password.
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(RabbitmqDefaultsError::EmptyFile { name, path });
    }
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<RabbitmqDefaults, String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(there, _)| *there == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        RabbitmqDefaults::read(find).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_guest() {
        assert_eq!(read(&[]), Ok(RabbitmqDefaults::default()));
        let empty = [("RABBITMQ_DEFAULT_USER", ""), ("RABBITMQ_DEFAULT_PASS_FILE", "")];
        assert_eq!(read(&empty), Ok(RabbitmqDefaults::default()));
    }

    #[test]
    fn a_user_needs_a_password() {
        for user in ["ops", "guest"] {
            let error = read(&[("RABBITMQ_DEFAULT_USER", user)]).unwrap_err();
            assert!(error.contains("RABBITMQ_DEFAULT_PASS_FILE"), "{error}");
        }
        let read =
            read(&[("RABBITMQ_DEFAULT_USER", "ops"), ("RABBITMQ_DEFAULT_PASS", "pw")]).unwrap();
        assert_eq!((read.user.name, &*read.user.password), (ShortStr::from_static("ops"), "pw"));
        assert!(read.user.is_named);
        let read = self::read(&[("RABBITMQ_DEFAULT_PASS", "pw")]).unwrap();
        assert_eq!((read.user.name, &*read.user.password), (ShortStr::from_static("guest"), "pw"));
    }

    #[test]
    fn each_can_stand_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (user, pass, vhost) = (path("user"), path("pass"), path("vhost"));
        std::fs::write(&user, "ops\n").unwrap();
        std::fs::write(&pass, " pass word \r\n").unwrap();
        std::fs::write(&vhost, "shop").unwrap();
        let variables = [
            ("RABBITMQ_DEFAULT_USER_FILE", &*user),
            ("RABBITMQ_DEFAULT_PASS_FILE", &*pass),
            ("RABBITMQ_DEFAULT_VHOST_FILE", &*vhost),
        ];
        let defaults = read(&variables).unwrap();
        assert_eq!(defaults.user.name, ShortStr::from_static("ops"));
        assert_eq!(defaults.user.password, " pass word ");
        assert_eq!(defaults.vhost, ShortStr::from_static("shop"));
        let both = [("RABBITMQ_DEFAULT_PASS", "x"), ("RABBITMQ_DEFAULT_PASS_FILE", &*pass)];
        assert!(read(&both).unwrap_err().contains("both set"));
        let missing = path("missing");
        let error = read(&[("RABBITMQ_DEFAULT_PASS_FILE", &missing)]).unwrap_err();
        assert!(
            error.contains(&missing) && error.contains("RABBITMQ_DEFAULT_PASS_FILE"),
            "{error}"
        );
        std::fs::write(&pass, "\n").unwrap();
        assert!(read(&[("RABBITMQ_DEFAULT_PASS_FILE", &pass)]).unwrap_err().contains("is empty"));
    }
}
