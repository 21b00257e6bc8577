//! Blocks made by hand, field by field: what no importer would make.

use cid::Cid;
use mesh_unixfs::Block;

/// A node of a file: links with the sizes that are claimed, data of its own, and as many bytes in a field of the message
/// `Data` that nobody knows.
pub(crate) fn padded(links: &[(Cid, u64)], data: &[u8], file_size: u64, padding: usize) -> Block {
    let mut out = Vec::new();
    for (cid, _) in links {
        let mut link = Vec::new();
        field(&mut link, 1, &cid.to_bytes());
        field(&mut out, 2, &link);
    }
    let mut inner = vec![0x08, 2];
    if !data.is_empty() {
        field(&mut inner, 2, data);
    }
    inner.push(0x18);
    varint(&mut inner, file_size);
    for (_, size) in links {
        inner.push(0x20);
        varint(&mut inner, *size);
    }
    if padding > 0 {
        field(&mut inner, 15, &vec![0; padding]);
    }
    field(&mut out, 1, &inner);
    Block::dag_pb(out).expect("it fits")
}

/// A node of a file without such a field.
pub(crate) fn node(links: &[(Cid, u64)], data: &[u8], file_size: u64) -> Block {
    padded(links, data, file_size, 0)
}

pub(crate) fn field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
