//! The certificate of this node's secure WebSocket listeners. It can be replaced while they run: certificates are
//! renewed every few weeks, and members should not lose their relay for that.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use libp2p::Multiaddr;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::websocket;
use libp2p::websocket::tls::{Certificate, Config, PrivateKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain with its private key. Clones are the same certificate: what replaces one replaces all.
#[derive(Clone)]
pub struct Tls(Arc<Mutex<Current>>);

struct Current {
    /// How often it was replaced.
    version: u64,
    config: Config,
}

/// Why there is no certificate. Tells which of the two is at fault, because each comes from a file of its own.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate cannot be read.
    #[error("{0}")]
    Certificate(String),
    /// The private key cannot be read.
    #[error("{0}")]
    Key(String),
    /// The two cannot be used together.
    #[error("{0}")]
    Pair(String),
}

impl Tls {
    /// The certificate that `certificate` (this node's first, then those that vouch for it) and `key` hold, both PEM.
    /// The key is PKCS#8, PKCS#1 or SEC1, without a password.
    ///
    /// # Errors
    /// [`TlsError`] when one cannot be read, or the key is not that of the certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Mutex::new(Current { version: 0, config: config(certificate, key)? }))))
    }

    /// Shows another certificate to whoever connects from now on. Connections that are open stay.
    ///
    /// # Errors
    /// As [`Tls::from_pem`]; the former one stays in force then.
    pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = config(certificate, key)?;
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Current { version: current.version + 1, config };
        Ok(())
    }

    /// The certificate in force and its version, when that is not `seen`.
    fn other_than(&self, seen: Option<u64>) -> Option<(u64, Config)> {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (Some(current.version) != seen).then(|| (current.version, current.config.clone()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn config(certificate: &[u8], key: &[u8]) -> Result<Config, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(format!("it is no PEM file: {error}")))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("it holds no PEM section CERTIFICATE".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| TlsError::Key("it holds no PEM section PRIVATE KEY without a password".to_owned()))?
        .secret_der()
        .to_vec();
    // libp2p takes what the bytes look like for their format, whatever the section was called, and panics at others.
    if PrivateKeyDer::try_from(&key[..]).is_err() {
        return Err(TlsError::Key("its key is none of PKCS#8, PKCS#1 and SEC1".to_owned()));
    }
    let chain = chain.iter().map(|certificate| Certificate::new(certificate.to_vec()));
    Config::new(PrivateKey::new(key), chain).map_err(|error| TlsError::Pair(error.to_string()))
}

/// The WebSocket transport with the certificate that is in force.
pub(super) struct WebSocket<T>
where
    T: Transport,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    inner: websocket::Config<T>,
    tls: Option<Tls>,
    /// The version of the certificate that `inner` has.
    seen: Option<u64>,
}

impl<T> WebSocket<T>
where
    T: Transport + Send + Unpin + 'static,
    T::Error: Send + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pub(super) fn new(inner: T, tls: Option<Tls>) -> Self {
        let mut websocket = Self { inner: websocket::Config::new(inner), tls, seen: None };
        websocket.renew();
        websocket
    }

    fn renew(&mut self) {
        if let Some((version, config)) = self.tls.as_ref().and_then(|tls| tls.other_than(self.seen)) {
            self.inner.set_tls_config(config);
            self.seen = Some(version);
        }
    }
}

impl<T> Transport for WebSocket<T>
where
    T: Transport + Send + Unpin + 'static,
    T::Error: Send + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = <websocket::Config<T> as Transport>::Output;
    type Error = <websocket::Config<T> as Transport>::Error;
    type ListenerUpgrade = <websocket::Config<T> as Transport>::ListenerUpgrade;
    type Dial = <websocket::Config<T> as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        // Before a connection comes in, not when the certificate changes: nobody has to be woken for it then.
        self.renew();
        Pin::new(&mut self.inner).poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_key_is_told_apart() {
        let certificate = |certificate: &str| Tls::from_pem(certificate.as_bytes(), b"").expect_err("no certificate");
        assert!(matches!(certificate(""), TlsError::Certificate(_)));
        assert!(matches!(certificate("-----BEGIN CERTIFICATE-----\n!\n"), TlsError::Certificate(_)));
        let section = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
        let key = |key: &str| Tls::from_pem(section("CERTIFICATE").as_bytes(), key.as_bytes()).expect_err("no key");
        assert!(matches!(key(""), TlsError::Key(_)));
        assert!(matches!(key(&section("ENCRYPTED PRIVATE KEY")), TlsError::Key(_)));
        assert!(matches!(key(&section("PRIVATE KEY")), TlsError::Key(_)), "not a panic");
    }
}
