//! TLS of `https_dev_proxy`: a certificate for whatever name a client asks for, made when it does.

use super::self_signed;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Names remembered. For further ones the certificate of this machine is shown.
const MAX_NAMES: usize = 256;
/// What is shown to clients that ask for no name.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Certificates in memory, by name.
#[derive(Debug, Default)]
struct Certificates {
    by_name: Mutex<HashMap<String, Option<Arc<CertifiedKey>>>>,
}

impl Certificates {
    fn of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_name.get(name) {
            return known.clone();
        }
        let names = match name {
            "" => LOCAL.map(str::to_owned).to_vec(),
            name => vec![name.to_owned()],
        };
        let made = self_signed(names).ok().map(Arc::new);
        by_name.insert(name.to_owned(), made.clone());
        made
    }

    fn is_full(&self) -> bool {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.len() >= MAX_NAMES
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or("");
        self.of(if self.is_full() { "" } else { name })
    }
}

/// TLS with such certificates.
pub(crate) fn config() -> ServerConfig {
    let certificates = Certificates::default();
    // Made now, so that there is one to show whatever comes.
    certificates.of("");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_certificate() {
        let certificates = Certificates::default();
        let first = certificates.of("dev.example").unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &certificates.of("dev.example").unwrap()
        ));
        let other = certificates.of("").unwrap();
        assert_ne!(first.cert, other.cert);
    }
}
