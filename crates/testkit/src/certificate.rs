//! A certificate for tests of TLS.

use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

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

impl Certificate {
    /// The server's side of TLS with this certificate; `protocols` are offered in this order.
    pub fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let chain = CertificateDer::from_pem_file(&self.certificate_file).expect("made below");
        let key = PrivateKeyDer::from_pem_file(&self.key_file).expect("made below");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers for them")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("the key belongs to the certificate");
        config.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
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
