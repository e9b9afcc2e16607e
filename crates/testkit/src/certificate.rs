//! A certificate for tests of TLS.

use std::path::PathBuf;
use tempfile::TempDir;

/// A self-signed certificate for `localhost` and `127.0.0.1`, in files that live as long as this.
pub struct Certificate {
    /// The certificate in PEM form; a client that trusts it accepts the server.
    pub certificate_pem: String,
    /// Where the certificate is.
    pub certificate_file: PathBuf,
    /// Where the private key is.
    pub key_file: PathBuf,
    _folder: TempDir,
}

/// Makes a certificate and its key.
pub fn certificate() -> Certificate {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("the names are valid");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let certificate_file = folder.path().join("certificate.pem");
    let key_file = folder.path().join("key.pem");
    let certificate_pem = made.cert.pem();
    std::fs::write(&certificate_file, &certificate_pem).expect("the folder is ours");
    std::fs::write(&key_file, made.signing_key.serialize_pem()).expect("the folder is ours");
    Certificate { certificate_pem, certificate_file, key_file, _folder: folder }
}
