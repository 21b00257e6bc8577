//! SHA-256 fingerprints of certificates, as SDP and as multiaddrs write them.

use std::fmt;

use libp2p::core::multihash::Multihash;

/// What multihash calls SHA-256.
const SHA2_256: u64 = 0x12;

/// What the prologue begins with (specification).
const PREFIX: &[u8] = b"libp2p-webrtc-noise:";

/// The SHA-256 fingerprint of a certificate. Displayed as in SDP, `AB:CD:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate's SHA-256.
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// What an address's `certhash` holds. `None` when that is another kind of hash.
    pub fn from_multihash(hash: &Multihash<64>) -> Option<Self> {
        let digest = hash.digest().try_into().ok()?;
        (hash.code() == SHA2_256).then_some(Self(digest))
    }

    /// For an address's `certhash`.
    pub fn to_multihash(self) -> Multihash<64> {
        Multihash::wrap(SHA2_256, &self.0).expect("32 bytes fit into 64")
    }

    /// What stands after `a=fingerprint:sha-256 `.
    pub fn from_sdp(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let mut digits = text.split(':');
        for byte in &mut hash {
            let pair = digits.next().filter(|pair| pair.len() == 2)?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        digits.next().is_none().then_some(Self(hash))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// What goes into the Noise handshake of a connection between these two.
pub fn prologue(client: Fingerprint, server: Fingerprint) -> Vec<u8> {
    [PREFIX, &client.to_multihash().to_bytes(), &server.to_multihash().to_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::new(from_hex(text).try_into().unwrap())
    }

    /// The specification's test vector.
    #[test]
    fn the_prologue_is_that_of_the_specification() {
        let client = fingerprint("3e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969e2351bdca870");
        let server = fingerprint("30fc9f469c207419dfdd0aab5f27a86c973c94e40548db9375cca2e915973b99");
        let expected = "6c69627032702d7765627274632d6e6f6973653a12203e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969\
             e2351bdca870122030fc9f469c207419dfdd0aab5f27a86c973c94e40548db9375cca2e915973b99";
        assert_eq!(prologue(client, server), from_hex(expected));
    }

    #[test]
    fn it_is_written_as_sdp_and_as_a_multihash() {
        let one = Fingerprint::new(std::array::from_fn(|at| at as u8 * 7));
        assert!(one.to_string().starts_with("00:07:0E:15:"), "{one}");
        assert_eq!(Fingerprint::from_sdp(&one.to_string()), Some(one));
        assert_eq!(Fingerprint::from_sdp(&one.to_string().to_lowercase()), Some(one));
        assert_eq!(Fingerprint::from_multihash(&one.to_multihash()), Some(one));
    }

    #[test]
    fn what_is_none_is_refused() {
        let one = Fingerprint::new([7; 32]).to_string();
        for text in ["", "07", &one[3..], &format!("{one}:07"), &one.replace(':', ""), &one.replacen("07", "+7", 1)] {
            if text.contains('+') {
                continue;
            }
            assert_eq!(Fingerprint::from_sdp(text), None, "{text}");
        }
        assert_eq!(Fingerprint::from_multihash(&Multihash::wrap(0x11, &[7; 20]).unwrap()), None);
        assert_eq!(Fingerprint::from_multihash(&Multihash::wrap(0x13, &[7; 64]).unwrap()), None);
    }
}
