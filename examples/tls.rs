//! Certificates for the examples with TLS.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::sync::Arc;

fn explain(what: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{}: {error}", what.display()),
    )
}

/// A server's settings: with this certificate and key, both PEM, or with a new certificate for localhost, which is
/// written to a file, so that clients can be told to trust it. `None` if nothing is given: no TLS.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput), naming the file, if it can't be read or written, or isn't what it should
/// be.
pub fn server_config(
    cert: Option<&Path>,
    key: Option<&Path>,
    self_signed: Option<&Path>,
) -> io::Result<Option<Arc<ServerConfig>>> {
    let (certs, key) = if let (Some(cert), Some(key)) = (cert, key) {
        let certs = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| explain(cert, error))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| explain(key, error))?;
        (certs, key)
    } else if let Some(file) = self_signed {
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        std::fs::write(file, made.cert.pem()).map_err(|error| explain(file, error))?;
        let key =
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
        (vec![made.cert.der().clone()], key)
    } else {
        return Ok(None);
    };
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(|error| explain(cert.unwrap_or(Path::new("certificate")), error))?;
    Ok(Some(Arc::new(config)))
}
