//! ICE candidates as JSON, as `RTCIceCandidate.toJSON()` makes it.
//!
//! Implementations differ in what they make: node-datachannel puts an SDP attribute's `a=` before the line and leaves
//! the section's number out; js-libp2p stops reading candidates at one that names its section in no way. So what
//! we send always names it in both ways, and what we receive is brought into one shape.

use crate::rtc::Candidate;

/// The longest candidate as JSON, bytes. Those of browsers have about 200.
pub const MAX_CANDIDATE: usize = 1024;

/// Candidates of one side in one handshake, good or bad. More from the remote are an offence, more of ours are not
/// sent. A host with ten interfaces and four STUN servers has 50.
pub const MAX_CANDIDATES: usize = 64;

/// The section's number where none is given: descriptions have one section.
const ONLY_SECTION: u16 = 0;

/// A message of the remote that says nothing we can use. It is passed over, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// No more candidates will come, which nobody waits for.
    LastCandidate,
    /// A candidate that cannot be read, or is too long.
    BadCandidate,
    /// A message of a type that we do not know.
    UnknownType,
}

/// Reads a candidate of the remote.
///
/// # Errors
/// Why there is none.
pub fn read(json: &str) -> Result<Candidate, Passed> {
    if json.len() > MAX_CANDIDATE {
        return Err(Passed::BadCandidate);
    }
    if ["", "null", "\"\""].contains(&json.trim()) {
        return Err(Passed::LastCandidate);
    }
    let candidate: Candidate = serde_json::from_str(json).map_err(|_| Passed::BadCandidate)?;
    let line = plain(&candidate.candidate);
    if line.is_empty() {
        return Err(Passed::LastCandidate);
    }
    Ok(Candidate {
        candidate: line.to_owned(),
        sdp_m_line_index: candidate.sdp_m_line_index.or(Some(ONLY_SECTION)),
        ..candidate
    })
}

/// Makes of one of our own candidates what is sent, with the name of our media section where it has none. `None` when
/// it is not worth sending: empty or too long.
pub fn outgoing(candidate: Candidate, mid: &str) -> Option<Candidate> {
    let line = plain(&candidate.candidate);
    if line.is_empty() {
        return None;
    }
    let candidate = Candidate {
        candidate: line.to_owned(),
        sdp_mid: candidate.sdp_mid.or_else(|| Some(mid.to_owned())),
        sdp_m_line_index: candidate.sdp_m_line_index.or(Some(ONLY_SECTION)),
        username_fragment: candidate.username_fragment,
    };
    (write(&candidate).len() <= MAX_CANDIDATE).then_some(candidate)
}

/// A candidate as JSON.
pub(crate) fn write(candidate: &Candidate) -> String {
    serde_json::to_string(candidate).expect("strings and a number are always JSON")
}

fn plain(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("a=").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(line: &str, mid: Option<&str>, index: Option<u16>) -> Candidate {
        Candidate {
            candidate: line.to_owned(),
            sdp_mid: mid.map(str::to_owned),
            sdp_m_line_index: index,
            username_fragment: None,
        }
    }

    #[test]
    fn those_of_browsers_and_of_node_are_read() {
        let browser = r#"{"candidate":"candidate:1 1 udp 2","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}"#;
        let expected = Candidate {
            username_fragment: Some("abcd".into()),
            ..candidate("candidate:1 1 udp 2", Some("0"), Some(0))
        };
        assert_eq!(read(browser), Ok(expected));
        let node = r#"{"candidate":"a=candidate:1 1 UDP 2","sdpMid":"0","sdpMLineIndex":null,"usernameFragment":null}"#;
        assert_eq!(read(node), Ok(candidate("candidate:1 1 UDP 2", Some("0"), Some(0))));
        assert_eq!(read(r#"{"candidate":"candidate:1","new":[1]}"#), Ok(candidate("candidate:1", None, Some(0))));
    }

    #[test]
    fn the_last_and_the_bad_are_passed_over() {
        for last in ["", " ", "null", "\"\"", r#"{"candidate":"","sdpMid":"0"}"#, r#"{"candidate":"a="}"#] {
            assert_eq!(read(last), Err(Passed::LastCandidate), "{last}");
        }
        for bad in [
            "{",
            "[]",
            "7",
            "\"candidate:1\"",
            "{}",
            r#"{"candidate":7}"#,
            r#"{"candidate":"c","sdpMLineIndex":-1}"#,
            r#"{"candidate":"c","sdpMLineIndex":65536}"#,
        ] {
            assert_eq!(read(bad), Err(Passed::BadCandidate), "{bad}");
        }
        let nested = "[".repeat(MAX_CANDIDATE);
        assert_eq!(read(&nested), Err(Passed::BadCandidate));
    }

    #[test]
    fn the_limit_holds_both_ways() {
        let frame = write(&candidate("", Some("0"), Some(0))).len();
        for (length, fits) in [(MAX_CANDIDATE, true), (MAX_CANDIDATE + 1, false)] {
            let it = candidate(&"c".repeat(length - frame), Some("0"), Some(0));
            assert_eq!(read(&write(&it)).is_ok(), fits);
            assert_eq!(outgoing(it, "0").is_some(), fits);
        }
    }

    #[test]
    fn what_is_sent_names_its_section_in_both_ways() {
        let sent = outgoing(candidate("a=candidate:1", None, None), "data").unwrap();
        assert_eq!(write(&sent), r#"{"candidate":"candidate:1","sdpMid":"data","sdpMLineIndex":0}"#);
        let sent = outgoing(candidate("candidate:1", Some("x"), Some(3)), "data").unwrap();
        assert_eq!(write(&sent), r#"{"candidate":"candidate:1","sdpMid":"x","sdpMLineIndex":3}"#);
        assert_eq!(outgoing(candidate("", None, None), "0"), None);
    }
}
