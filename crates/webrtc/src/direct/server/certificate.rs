//! The certificate of a server. Its hash is part of the server's addresses, so it is to be kept.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};
use str0m::crypto::{self, CryptoProvider};
use str0m::{RtcConfig, RtcError};

use crate::clock::instant;
use crate::direct::fingerprint::Fingerprint;

/// A certificate with its private key. Nobody vouches for it: who dials knows its hash.
#[derive(Clone)]
pub struct Certificate {
    provider: Arc<CryptoProvider>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No new one could be made.
    #[error("no certificate could be made")]
    NotMade,
    /// The key is no key, or not the one that the certificate is for.
    #[error("the key is not the ECDSA key (P-256, PKCS#8) of the certificate")]
    KeyMismatch,
    /// It cannot be used.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] RtcError),
}

impl Certificate {
    /// A new one, of ECDSA on the curve P-256.
    ///
    /// # Errors
    /// [`CertificateError::NotMade`].
    pub fn generate() -> Result<Self, CertificateError> {
        let provider = Arc::new(crypto::from_feature_flags());
        let made = provider.dtls_provider.generate_certificate().ok_or(CertificateError::NotMade)?;
        Ok(Self { provider, certificate: made.certificate, key: made.private_key })
    }

    /// One that was kept: `certificate` is X.509, `key` PKCS#8, both DER.
    ///
    /// # Errors
    /// [`CertificateError::KeyMismatch`]; [`CertificateError::Unusable`] when DTLS does not take them.
    pub fn from_der(certificate: Vec<u8>, key: Vec<u8>) -> Result<Self, CertificateError> {
        // DTLS takes for granted that both are right, and panics else (dimpl 0.9.0).
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key);
        let pair = pair.map_err(|_| CertificateError::KeyMismatch)?;
        let public = pair.public_key().as_ref();
        if !certificate.windows(public.len()).any(|bytes| bytes == public) {
            return Err(CertificateError::KeyMismatch);
        }
        let kept = Self { provider: Arc::new(crypto::from_feature_flags()), certificate, key };
        kept.config().build(instant()).direct_api().start_dtls(false)?;
        Ok(kept)
    }

    /// The certificate, X.509, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its private key, PKCS#8, DER.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its SHA-256 fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(Sha256::digest(&self.certificate).into())
    }

    pub(super) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    /// What connections with it are made of.
    pub(super) fn config(&self) -> RtcConfig {
        let own = crypto::dtls::DtlsCert { certificate: self.certificate.clone(), private_key: self.key.clone() };
        RtcConfig::new().set_crypto_provider(Arc::clone(&self.provider)).set_dtls_cert(own).clear_codecs()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_was_kept_is_the_same() {
        let made = Certificate::generate().unwrap();
        let kept = Certificate::from_der(made.certificate().to_vec(), made.key().to_vec()).unwrap();
        assert_eq!(kept.fingerprint(), made.fingerprint());
        assert_ne!(Certificate::generate().unwrap().fingerprint(), made.fingerprint());
    }
}
