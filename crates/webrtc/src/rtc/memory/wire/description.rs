//! Descriptions and candidates, which name the peer connection they belong to by its ICE user name.

use super::super::super::Candidate;

/// The description of a peer connection, with or without its one media section.
pub(super) fn write(id: u64, media: bool) -> String {
    let session = format!("v=0\r\no=- {id} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
    if !media {
        return session;
    }
    let fingerprint = fingerprint(id);
    format!(
        "{session}a=group:BUNDLE 0\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
         c=IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:m{id}\r\n\
         a=ice-pwd:passwordpasswordpassword\r\n\
         a=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:actpass\r\n\
         a=mid:0\r\n\
         a=sctp-port:5000\r\n\
         a=max-message-size:262144\r\n"
    )
}

/// The peer connection that a description with a media section names.
pub(super) fn named(sdp: &str) -> Option<u64> {
    attribute(sdp, "m=application ")?;
    attribute(sdp, "a=ice-ufrag:m")?.parse().ok()
}

/// Whether the fingerprint is that of the peer connection named.
pub(super) fn is_genuine(sdp: &str) -> bool {
    named(sdp).is_some_and(|id| attribute(sdp, "a=fingerprint:sha-256 ") == Some(&fingerprint(id)))
}

/// One of the candidates of a peer connection.
pub(super) fn candidate(id: u64, number: usize) -> Candidate {
    Candidate {
        candidate: format!("candidate:{number} 1 udp 2122260223 192.0.2.{number} 9 typ host generation 0 ufrag m{id}"),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: Some(format!("m{id}")),
    }
}

/// The peer connection that a candidate belongs to.
pub(super) fn candidate_of(candidate: &Candidate) -> Option<u64> {
    let (_, name) = candidate.candidate.split_once(" ufrag m")?;
    name.parse().ok()
}

fn fingerprint(id: u64) -> String {
    let bytes = id.to_be_bytes().repeat(4);
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

fn attribute<'a>(sdp: &'a str, prefix: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix(prefix))
}
