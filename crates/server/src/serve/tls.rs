//! HTTPS from files.

use crate::options::TlsFiles;
use chaski_api::{Error, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{fmt, path::Path, sync::Arc};
use tokio_rustls::TlsAcceptor;

/// What accepts TLS connections, for HTTP/2 and HTTP/1.1.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let unusable = |what: &str, path: &Path, reason: &dyn fmt::Display| {
        Error::invalid(format!("cannot use the {what} in `{}`: {reason}", path.display()))
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| unusable("certificate", &files.cert, &error))?;
    if certificates.is_empty() {
        return Err(unusable("certificate", &files.cert, &"there is none"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable("key", &files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| unusable("certificate and key", &files.cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
