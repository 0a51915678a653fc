//! Why certificates can't be used, and what to do.

use rustls::Error as RustlsError;
use rustls::server::VerifierBuilderError;
use std::io;
use std::path::PathBuf;

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("TLS: cannot read {path}: {error}; check {key} and the permissions of the file")]
    Read {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file has none of what it is for.
    #[error("TLS: {path} ({key}) has no {expected}")]
    Empty {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should have.
        expected: &'static str,
    },
    /// A file is no PEM, or is damaged.
    #[error("TLS: {path} ({key}) can't be understood: {reason}; expected PEM")]
    Pem {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The private key is encrypted.
    #[error(
        "TLS: the private key in {path} (tls.keyfile) is encrypted, and there is nobody to ask for \
         its password; decrypt it with: openssl pkey -in ENCRYPTED -out {path}"
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not fit each other, or rustls takes one of them not.
    #[error(
        "TLS: the certificate in {certificate} and the private key in {key} can't be used together: \
         {error}"
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        error: RustlsError,
    },
    /// An authority can't be trusted.
    #[error("TLS: a certificate in {path} (tls.cacertfile) can't be an authority: {error}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: RustlsError,
    },
    /// The authorities make no verifier.
    #[error("TLS: the authorities in {path} (tls.cacertfile) can't be used: {error}")]
    Verifier {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: VerifierBuilderError,
    },
    /// rustls refuses its own defaults: a defect of the build.
    #[error("TLS: {0}")]
    Provider(RustlsError),
}
