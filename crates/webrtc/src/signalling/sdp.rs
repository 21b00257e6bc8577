//! A session description that speaks of data channels and nothing else.
//!
//! What a remote sends is put before a WebRTC implementation of a million lines. This is what it has to look like.

/// The longest description, bytes. Those of browsers have about 600.
pub const MAX_SDP: usize = 16 * 1024;

/// Bytes in a SHA-256 fingerprint.
const FINGERPRINT: usize = 32;

/// The name of the media section where a description gives none. Browsers number them from here.
const DEFAULT_MID: &str = "0";

/// A description that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp(String);

/// What is wrong with a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Longer than [`MAX_SDP`].
    #[error("the description is too long")]
    TooLong,
    /// Not exactly one media section, of the kind `application`.
    #[error("the description is not of one application section")]
    Sections,
    /// No SHA-256 fingerprint of a certificate. Without one nobody would know who is at the other end.
    #[error("the description has no fingerprint")]
    NoFingerprint,
}

impl Sdp {
    /// Looks at a description.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: String) -> Result<Self, SdpError> {
        if text.len() > MAX_SDP {
            return Err(SdpError::TooLong);
        }
        let sections: Vec<_> = lines(&text).filter(|line| line.starts_with("m=")).collect();
        if !matches!(sections[..], [only] if only.starts_with("m=application ")) {
            return Err(SdpError::Sections);
        }
        if !lines(&text).any(is_fingerprint) {
            return Err(SdpError::NoFingerprint);
        }
        Ok(Self(text))
    }

    /// The description.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its media section.
    pub fn mid(&self) -> &str {
        lines(&self.0).find_map(|line| line.strip_prefix("a=mid:")).unwrap_or(DEFAULT_MID)
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_end)
}

fn is_fingerprint(line: &str) -> bool {
    let Some((hash, value)) = line.strip_prefix("a=fingerprint:").and_then(|rest| rest.split_once(' ')) else {
        return false;
    };
    let is_byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
    hash.eq_ignore_ascii_case("sha-256") && value.split(':').all(is_byte) && value.split(':').count() == FINGERPRINT
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A description as browsers make them, `length` bytes long if that is more.
    pub(crate) fn sample(length: usize) -> String {
        let fingerprint = ["AB"; FINGERPRINT].join(":");
        let mut text = format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE data\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
             a=mid:data\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
        );
        while text.len() < length {
            text.push('\n');
        }
        text
    }

    #[test]
    fn one_of_a_browser_is_good_up_to_the_limit() {
        assert_eq!(Sdp::parse(sample(0)).unwrap().mid(), "data");
        assert!(Sdp::parse(sample(MAX_SDP)).is_ok());
        assert_eq!(Sdp::parse(sample(MAX_SDP + 1)), Err(SdpError::TooLong));
    }

    #[test]
    fn hash_names_are_of_any_case_and_a_section_may_be_unnamed() {
        let text = sample(0).replace("sha-256", "SHA-256").replace("a=mid:data\r\n", "");
        assert_eq!(Sdp::parse(text).unwrap().mid(), "0");
    }

    #[test]
    fn others_are_refused() {
        let application = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
        for (text, error) in [
            (String::new(), SdpError::Sections),
            (sample(0).replace("m=application", "m=audio"), SdpError::Sections),
            (sample(0).replace("m=application ", "m=applications "), SdpError::Sections),
            (sample(0) + application, SdpError::Sections),
            (sample(0) + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", SdpError::Sections),
            (sample(0).replace("sha-256", "sha-1"), SdpError::NoFingerprint),
            (sample(0).replace("AB:AB:", "AB:"), SdpError::NoFingerprint),
            (sample(0).replace("AB:AB:", "AB:XY:"), SdpError::NoFingerprint),
            (sample(0).replace("a=fingerprint", "b=fingerprint"), SdpError::NoFingerprint),
        ] {
            assert_eq!(Sdp::parse(text.clone()), Err(error), "{text}");
        }
    }
}
