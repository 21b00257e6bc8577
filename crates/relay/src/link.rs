//! Links that let somebody into a private mesh: anything, then `#i=` and an invite in base64url without padding. What stands
//! behind `#` is not sent to the server that a page comes from. Other parameters may stand beside `i`, separated by `&`.

use data_encoding::BASE64URL_NOPAD;
use mesh_proto::credential::Invite;
use mesh_proto::{DecodeError, EncodeError, Strict};

/// Before the `#` where no page is named.
pub(crate) const SCHEME: &str = "neural-mesh:";

/// Bytes of a link: an invite of 3 KiB takes 4, and a page's address some more.
pub(crate) const MAX_LINK: usize = 8 * 1024;

/// Why a text is no link with an invite.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("it has no part #i=…: give the whole link, in quotes")]
    NoInvite,
    #[error("it has more than one invite")]
    Several,
    #[error("it is longer than {MAX_LINK} bytes")]
    TooLong,
    #[error("its invite is damaged ({0}): copy the whole link again")]
    Damaged(String),
}

impl From<DecodeError> for LinkError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The link with `invite` behind `base`.
pub(crate) fn write(base: &str, invite: &Invite) -> Result<String, EncodeError> {
    Ok(format!("{base}#i={}", BASE64URL_NOPAD.encode(&invite.encode()?)))
}

/// The invite in a link. Whether it can still be redeemed only its issuer knows.
pub(crate) fn read(link: &str) -> Result<Invite, LinkError> {
    if link.len() > MAX_LINK {
        return Err(LinkError::TooLong);
    }
    let (_, fragment) = link.trim().split_once('#').ok_or(LinkError::NoInvite)?;
    let mut found = fragment.split('&').filter_map(|part| part.strip_prefix("i="));
    let text = found.next().ok_or(LinkError::NoInvite)?;
    if found.next().is_some() {
        return Err(LinkError::Several);
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|error| LinkError::Damaged(error.to_string()))?;
    let invite = Invite::decode(&bytes)?;
    if !invite.invitation.verifies(&Strict) {
        return Err(LinkError::Damaged("its signature does not hold".to_owned()));
    }
    Ok(invite)
}

#[cfg(test)]
pub(crate) mod tests {
    use mesh_proto::credential::{DAY_S, Invitation, Role, Serial};
    use mesh_proto::{Keypair, MeshId};

    use super::*;

    pub(crate) fn invite(relays: Vec<String>) -> Invite {
        let (issuer, secret) = (Keypair::from_seed(&[1; 32]), [2; 32]);
        let serial = Serial { issuer: issuer.node(), day: 20_000, number: 7 };
        let key = Keypair::from_seed(&secret).node();
        let (mesh, not_after) = (MeshId([3; 32]), 20_000 * DAY_S + 60);
        let invitation = Invitation { mesh, key, role: Role::Member, invites: 0, not_after, serial };
        let invitation = invitation.sign(&issuer).expect("an invitation");
        Invite { name: "lab".to_owned(), invitation, secret: secret.into(), relays }
    }

    #[test]
    fn a_link_is_read_wherever_it_leads() {
        let invite = invite(vec!["/ip4/127.0.0.1/tcp/1/ws".to_owned()]);
        for base in [SCHEME, "https://example.org/page?x=1", ""] {
            let link = write(base, &invite).expect("a link");
            assert!(link.starts_with(&format!("{base}#i=")) && !link.contains('='.to_string().repeat(2).as_str()));
            assert_eq!(read(&link), Ok(invite.clone()));
            assert_eq!(read(&format!(" {}\n", link.replace("#i=", "#x=y&i="))), Ok(invite.clone()));
            assert_eq!(read(&format!("{link}&theme=dark")), Ok(invite.clone()));
        }
    }

    #[test]
    fn what_is_no_link_says_why() {
        let link = write(SCHEME, &invite(Vec::new())).expect("a link");
        let text = link.strip_prefix("neural-mesh:#i=").expect("its form");
        assert_eq!(read(text), Err(LinkError::NoInvite));
        assert_eq!(read("neural-mesh:#m=lab"), Err(LinkError::NoInvite));
        assert_eq!(read(&format!("{link}&i={text}")), Err(LinkError::Several));
        assert_eq!(read(&format!("{link}&x={}", "x".repeat(MAX_LINK))), Err(LinkError::TooLong));
        let mut flipped = link.clone();
        let last = flipped.pop();
        flipped.push(if last == Some('A') { 'Q' } else { 'A' });
        for damaged in [&link[..link.len() - 1], &link[..60], &flipped, &format!("{link}=")] {
            assert!(matches!(read(damaged), Err(LinkError::Damaged(_))), "{damaged}");
        }
    }
}
