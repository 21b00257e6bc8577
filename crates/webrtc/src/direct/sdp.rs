//! The descriptions of a connection without signalling: the client's own is read, the server's is made up.

use std::net::SocketAddr;

use super::credentials::Pair;
use super::fingerprint::Fingerprint;
use crate::framing::MAX_FRAME;
use crate::signalling::sdp::Sdp;

/// What a client's own description says of it.
pub(super) struct Own {
    pub(super) password: String,
    pub(super) fingerprint: Fingerprint,
}

/// Reads a client's own description. `None` when something is missing.
pub(super) fn read(offer: &Sdp) -> Option<Own> {
    let value = |name: &str| offer.as_str().lines().find_map(|line| line.trim_end().strip_prefix(name));
    let (hash, digits) = value("a=fingerprint:")?.split_once(' ')?;
    let fingerprint = Fingerprint::from_sdp(digits).filter(|_| hash.eq_ignore_ascii_case("sha-256"))?;
    Some(Own { password: value("a=ice-pwd:")?.to_owned(), fingerprint })
}

/// What the server at `socket` would answer to `offer`.
pub(super) fn answer(offer: &Sdp, socket: SocketAddr, server: &Pair, fingerprint: Fingerprint) -> String {
    let (ip, port) = (socket.ip(), socket.port());
    let family = if socket.is_ipv4() { "IP4" } else { "IP6" };
    let (Pair { ufrag, password }, mid) = (server, offer.mid());
    // The priority is that of a host candidate (RFC 8445, section 5.1.2.1); there is only one.
    let lines = [
        "v=0".to_owned(),
        format!("o=- 0 0 IN {family} {ip}"),
        "s=-".to_owned(),
        "t=0 0".to_owned(),
        "a=ice-lite".to_owned(),
        format!("m=application {port} UDP/DTLS/SCTP webrtc-datachannel"),
        format!("c=IN {family} {ip}"),
        format!("a=mid:{mid}"),
        format!("a=ice-ufrag:{ufrag}"),
        format!("a=ice-pwd:{password}"),
        format!("a=fingerprint:sha-256 {fingerprint}"),
        "a=setup:passive".to_owned(),
        "a=sctp-port:5000".to_owned(),
        format!("a=max-message-size:{MAX_FRAME}"),
        format!("a=candidate:1 1 UDP 2130706431 {ip} {port} typ host"),
        "a=end-of-candidates".to_owned(),
    ];
    lines.map(|line| line + "\r\n").concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::sdp::tests::sample;

    #[test]
    fn what_is_made_up_passes_our_own_check() {
        let offer = Sdp::parse(sample(0)).unwrap();
        let own = read(&offer).unwrap();
        assert_eq!(own.password, "0123456789012345678901");
        assert_eq!(own.fingerprint, Fingerprint::new([0xab; 32]));
        let server = Pair { ufrag: "theirs".to_owned(), password: "secret".to_owned() };
        for (socket, connection) in
            [("192.0.2.1:4004", "c=IN IP4 192.0.2.1\r\n"), ("[2001:db8::1]:4004", "c=IN IP6 2001:db8::1\r\n")]
        {
            let answer = answer(&offer, socket.parse().unwrap(), &server, own.fingerprint);
            assert!(answer.contains(connection), "{answer}");
            let answer = Sdp::parse(answer).unwrap();
            assert_eq!(answer.mid(), offer.mid());
            assert_eq!(read(&answer).unwrap().password, "secret");
        }
    }

    #[test]
    fn a_description_with_something_missing_is_of_no_use() {
        let without = |line: &str| Sdp::parse(sample(0).replace(line, "b=")).unwrap();
        assert!(read(&without("a=ice-pwd:")).is_none());
    }
}
