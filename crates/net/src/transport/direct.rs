//! The certificate of this node's `/webrtc-direct` listeners. Its hash is in their addresses, so it has to be kept.

use std::fmt;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use mesh_webrtc::direct::server::Certificate;
use pem_rfc7468::LineEnding;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// A certificate with its private key, for which nobody vouches: who dials knows its hash.
#[derive(Clone)]
pub struct Direct(Certificate);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DirectError(String);

impl Direct {
    /// A new one.
    ///
    /// # Errors
    /// [`DirectError`] when the system gives no randomness.
    pub fn generate() -> Result<Self, DirectError> {
        Certificate::generate().map(Self).map_err(|error| DirectError(error.to_string()))
    }

    /// One that was kept: a PEM file with a section `CERTIFICATE` and a section `PRIVATE KEY`, as
    /// [`Direct::to_pem`] gives it.
    ///
    /// # Errors
    /// [`DirectError`] when it is not that, or the two do not fit.
    pub fn from_pem(pem: &[u8]) -> Result<Self, DirectError> {
        let certificate = CertificateDer::from_pem_slice(pem)
            .map_err(|_| DirectError("it holds no PEM section CERTIFICATE".to_owned()))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem)
            .map_err(|_| DirectError("it holds no PEM section PRIVATE KEY without a password".to_owned()))?;
        Certificate::from_der(certificate.to_vec(), key.secret_pkcs8_der().to_vec())
            .map(Self)
            .map_err(|error| DirectError(error.to_string()))
    }

    /// To be kept where only this node reads it.
    ///
    /// # Errors
    /// [`DirectError`] when it is too long, which none is.
    pub fn to_pem(&self) -> Result<String, DirectError> {
        let section = |label, der| pem_rfc7468::encode_string(label, LineEnding::LF, der);
        let certificate = section("CERTIFICATE", self.0.certificate());
        let key = section("PRIVATE KEY", self.0.key());
        certificate.and_then(|certificate| Ok(certificate + &key?)).map_err(|error| DirectError(error.to_string()))
    }

    /// `address` with the certificate's hash, when it ends in `/webrtc-direct`, or in that and a peer id.
    pub fn in_address(&self, mut address: Multiaddr) -> Multiaddr {
        let peer = match address.iter().last() {
            Some(peer @ Protocol::P2p(_)) => Some(peer.acquire()),
            Some(_) | None => None,
        };
        if peer.is_some() {
            address.pop();
        }
        if address.iter().last() == Some(Protocol::WebRTCDirect) {
            address.push(Protocol::Certhash(self.0.fingerprint().to_multihash()));
        }
        peer.into_iter().fold(address, Multiaddr::with)
    }

    pub(super) fn certificate(self) -> Certificate {
        self.0
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_same_certificate() {
        let made = Direct::generate().unwrap();
        let pem = made.to_pem().unwrap();
        assert!(
            pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n"),
            "{pem}"
        );
        let kept = Direct::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(kept.0.fingerprint(), made.0.fingerprint());
    }

    #[test]
    fn its_hash_is_put_where_it_is_missing() {
        let made = Direct::generate().unwrap();
        let peer = "/p2p/12D3KooWGCzUSqQCi1cHAhjWzTbJUyfjfqpc4Yx8vtqWmKnkAbcR";
        let put = |text: &str| made.in_address(text.parse().unwrap()).to_string();
        let whole = put("/ip4/192.0.2.1/udp/4004/webrtc-direct");
        assert!(whole.starts_with("/ip4/192.0.2.1/udp/4004/webrtc-direct/certhash/uEi"), "{whole}");
        assert_eq!(put(&format!("/ip4/192.0.2.1/udp/4004/webrtc-direct{peer}")), format!("{whole}{peer}"));
        for other in [&whole, &format!("{whole}{peer}"), "/ip4/192.0.2.1/tcp/4002/ws"] {
            assert_eq!(put(other), *other);
        }
    }

    #[test]
    fn what_is_none_is_refused_and_no_panic() {
        let pem = Direct::generate().unwrap().to_pem().unwrap();
        let other = Direct::generate().unwrap().to_pem().unwrap();
        let key = pem.find("-----BEGIN PRIVATE").unwrap();
        let section = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
        for bad in [
            String::new(),
            pem[..key].to_owned(),
            pem[key..].to_owned(),
            section("CERTIFICATE") + &section("PRIVATE KEY"),
            section("CERTIFICATE") + &pem[key..],
            pem[..key].to_owned() + &section("PRIVATE KEY"),
            other[..other.find("-----BEGIN PRIVATE").unwrap()].to_owned() + &pem[key..],
        ] {
            assert!(Direct::from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
