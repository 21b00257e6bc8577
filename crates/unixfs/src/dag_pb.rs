//! The dag-pb codec: links, and bytes beside them (<https://ipld.io/specs/codecs/dag-pb/spec/>).

use bytes::Bytes;
use cid::Cid;

use crate::node::MAX_LINKS;
use crate::wire::{Value, field, put_bytes, put_uint};

/// `PBLink`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) cid: Cid,
    pub(crate) name: Bytes,
    /// Bytes of all blocks below, by whoever made the link.
    pub(crate) dag_size: Option<u64>,
}

/// Encodes a `PBNode`: the links first, which is the canonical order. The links have to be sorted by name.
pub(crate) fn encode(links: &[Link], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut link_out = Vec::new();
    for link in links {
        link_out.clear();
        put_bytes(&mut link_out, 1, &link.cid.to_bytes());
        put_bytes(&mut link_out, 2, &link.name); // an empty name is written too, as all others do
        put_uint(&mut link_out, 3, link.dag_size.unwrap_or(0));
        put_bytes(&mut out, 2, &link_out);
    }
    put_bytes(&mut out, 1, data);
    out
}

/// Decodes a `PBNode`. Links and data may come in either order, as there are blocks of both, and links in any order of
/// names, but neither interleaved nor twice.
///
/// # Errors
/// What is wrong.
pub(crate) fn decode(mut bytes: Bytes) -> Result<(Vec<Link>, Option<Bytes>), &'static str> {
    let mut links = Vec::new();
    let mut data = None;
    let mut links_ended = false;
    while let Some((number, value)) = field(&mut bytes)? {
        match (number, value) {
            (1, Value::Bytes(_)) if data.is_some() => return Err("data twice"),
            (1, Value::Bytes(value)) => {
                data = Some(value);
                links_ended = !links.is_empty();
            }
            (2, Value::Bytes(_)) if links_ended => return Err("links on both sides of the data"),
            (2, Value::Bytes(_)) if links.len() == MAX_LINKS => return Err("more than 65536 links"),
            (2, Value::Bytes(value)) => links.push(decode_link(value)?),
            (1 | 2, _) => return Err("a field of a wrong wire type"),
            _ => return Err("an unknown field"),
        }
    }
    Ok((links, data))
}

fn decode_link(mut bytes: Bytes) -> Result<Link, &'static str> {
    let (mut cid, mut name, mut dag_size) = (None, None, None);
    let mut last = 0;
    while let Some((number, value)) = field(&mut bytes)? {
        if number <= last {
            return Err("the fields of a link out of order, or twice");
        }
        last = number;
        match (number, value) {
            (1, Value::Bytes(value)) => cid = Some(decode_cid(&value)?),
            (2, Value::Bytes(value)) => name = Some(value),
            (3, Value::Varint(value)) => dag_size = Some(value),
            (1..=3, _) => return Err("a field of a link of a wrong wire type"),
            _ => return Err("an unknown field of a link"),
        }
    }
    let cid = cid.ok_or("a link without a hash")?;
    Ok(Link { cid, name: name.unwrap_or_default(), dag_size })
}

fn decode_cid(mut bytes: &[u8]) -> Result<Cid, &'static str> {
    // `Cid::try_from` would leave what comes behind a CID unread.
    let cid = Cid::read_bytes(&mut bytes).map_err(|_| "a link whose hash is no CID")?;
    if bytes.is_empty() { Ok(cid) } else { Err("a link whose hash is longer than its CID") }
}
