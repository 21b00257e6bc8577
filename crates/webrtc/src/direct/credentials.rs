//! How the two sides agree on ICE's user names and passwords without telling each other. What the client chose comes to
//! the server as the USERNAME of a STUN request, `<the server's>:<the client's>`.
//!
//! | version | user name and password of the server | of the client |
//! |---|---|---|
//! | 1 | `libp2p+webrtc+v1/` and something random | the same |
//! | 2 | `libp2p+webrtc+v2/` and the client's password | its own |
//!
//! For version 1 a client has to change the description that its browser made, before it applies it. Browsers are about
//! to refuse that; version 2 leaves it as it is.

/// What the server's user name begins with.
const PREFIXES: [(&str, Version); 2] = [("libp2p+webrtc+v1/", Version::V1), (V2, Version::V2)];
const V2: &str = "libp2p+webrtc+v2/";

/// Letters of a user name (RFC 8839, section 5.4).
const MAX_UFRAG: usize = 256;
const MIN_UFRAG: usize = 4;

/// Letters of a password (RFC 8839, section 5.4).
const MIN_PASSWORD: usize = 22;
const MAX_PASSWORD: usize = 256;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Both sides have the same.
    V1,
    /// Each side has its own.
    V2,
}

/// A user name with its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// ICE's `ufrag`.
    pub ufrag: String,
    /// ICE's `pwd`.
    pub password: String,
}

/// What a server learns of a USERNAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// How they came about.
    pub version: Version,
    /// The server's own.
    pub server: Pair,
    /// The client's.
    pub client: Pair,
}

/// Reads a USERNAME. `None` when it is of no version that we know, or not what ICE allows.
pub fn parse(username: &str) -> Option<Credentials> {
    let (server, client) = username.split_once(':')?;
    let (rest, version) =
        PREFIXES.iter().find_map(|(prefix, version)| Some((server.strip_prefix(prefix)?, *version)))?;
    if !is_of(server, MIN_PASSWORD.max(MIN_UFRAG), MAX_UFRAG.min(MAX_PASSWORD)) || !is_of(client, MIN_UFRAG, MAX_UFRAG)
    {
        return None;
    }
    let password = match version {
        Version::V1 if client == server => client,
        Version::V2 if is_of(rest, MIN_PASSWORD, MAX_PASSWORD) => rest,
        Version::V1 | Version::V2 => return None,
    };
    Some(Credentials { version, server: twice(server), client: pair(client, password) })
}

/// The server's, made by a client of version 2 whose own password is `password`. `None` when that is not what ICE
/// allows, or too long to be put into a user name.
pub fn of_server(password: &str) -> Option<Pair> {
    let ufrag = format!("{V2}{password}");
    (is_of(password, MIN_PASSWORD, MAX_PASSWORD) && is_of(&ufrag, MIN_UFRAG, MAX_UFRAG)).then(|| twice(&ufrag))
}

fn twice(text: &str) -> Pair {
    pair(text, text)
}

fn pair(ufrag: &str, password: &str) -> Pair {
    Pair { ufrag: ufrag.to_owned(), password: password.to_owned() }
}

/// Whether it is of so many of ICE's letters.
fn is_of(text: &str, min: usize, max: usize) -> bool {
    let is_ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    (min..=max).contains(&text.len()) && text.bytes().all(is_ice_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "0123456789abcdefghijkl";

    #[test]
    fn version_1_is_the_same_on_both_sides() {
        let both = "libp2p+webrtc+v1/aB3+/";
        let found = parse(&format!("{both}:{both}")).unwrap();
        assert_eq!(found, Credentials { version: Version::V1, server: twice(both), client: twice(both) });
    }

    #[test]
    fn version_2_tells_the_clients_password() {
        let server = of_server(PASSWORD).unwrap();
        let found = parse(&format!("{}:abcd", server.ufrag)).unwrap();
        assert_eq!(found, Credentials { version: Version::V2, server, client: pair("abcd", PASSWORD) });
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "a".repeat(MAX_UFRAG);
        for username in [
            String::new(),
            "abcd:efgh".to_owned(),
            "libp2p+webrtc+v1/aB3+/".to_owned(),
            "libp2p+webrtc+v1/aB3+/:abcd".to_owned(),
            "libp2p+webrtc+v1/:libp2p+webrtc+v1/".to_owned(),
            "libp2p+webrtc+v1/aB3-x:libp2p+webrtc+v1/aB3-x".to_owned(),
            format!("libp2p+webrtc+v1/{long}:libp2p+webrtc+v1/{long}"),
            format!("libp2p+webrtc+v3/{PASSWORD}:abcd"),
            format!("{V2}{PASSWORD}:abc"),
            format!("{V2}{PASSWORD}:ab:cd"),
            format!("{V2}{PASSWORD}:{long}a"),
            format!("{V2}{}:abcd", &PASSWORD[1..]),
            format!("{V2}{long}:abcd"),
        ] {
            assert_eq!(parse(&username), None, "{username}");
        }
        assert_eq!(of_server(&PASSWORD[1..]), None);
        assert_eq!(of_server(&long), None, "no room for the prefix");
        assert_eq!(of_server("0123456789abcdefghijkl\r\na=x"), None);
    }
}
