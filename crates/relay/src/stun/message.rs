//! The two messages of STUN that a Binding responder has to know (RFC 8489): the request, and its answer.
//!
//! ```text
//! header, 20 bytes   type (2)  length of what follows (2)  magic cookie (4)  transaction id (12)
//! attributes         type (2)  length (2)  value, padded to 4 bytes
//! ```
//!
//! Everything else is no request and is never answered, above all no response and no indication: two responders can not
//! keep each other busy. An answer is at most 24 bytes longer than its request.

use std::net::{IpAddr, SocketAddr};

/// What an answer may have more than its request: one XOR-MAPPED-ADDRESS of IPv6.
#[cfg(test)]
pub(super) const MAX_GROWTH: usize = 24;

/// Longest request that is read. Those of browsers are 20 to 50 bytes; longer ones need room for nothing that counts here.
pub(super) const MAX_REQUEST: usize = 512;

const HEADER: usize = 20;
const MAGIC: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Attributes below this must be understood (RFC 8489, 14).
const OPTIONAL: u16 = 0x8000;

/// Attributes that must be understood, and are: they have to do with passwords (RFC 8489, 9), and a server that asks for
/// none passes over them.
const OF_PASSWORDS: [u16; 7] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E];

/// A Binding request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    transaction: [u8; 12],
    /// Attributes that must be understood and are not.
    unknown: Vec<u16>,
}

impl Request {
    /// The request in `datagram`, `None` when it holds anything else.
    pub(super) fn parse(datagram: &[u8]) -> Option<Self> {
        let (header, attributes) = datagram.split_at_checked(HEADER)?;
        let long = usize::from(number(header, 2)?) == attributes.len() && datagram.len() <= MAX_REQUEST;
        if number(header, 0)? != BINDING_REQUEST || !long || header.get(4..8)? != MAGIC {
            return None;
        }
        Some(Self { transaction: header.get(8..)?.try_into().ok()?, unknown: unknown(attributes)? })
    }

    /// What to send back to `from`.
    pub(super) fn answer(&self, from: SocketAddr) -> Answer {
        if self.unknown.is_empty() {
            let attribute = self.xor_mapped(from);
            return Answer { bytes: self.message(BINDING_SUCCESS, &[(XOR_MAPPED_ADDRESS, attribute)]), success: true };
        }
        // 420 Unknown Attribute: class 4, number 20, and no text, which would make the answer longer than allowed.
        let list = self.unknown.iter().flat_map(|attribute| attribute.to_be_bytes()).collect();
        let attributes = [(ERROR_CODE, vec![0, 0, 4, 20]), (UNKNOWN_ATTRIBUTES, list)];
        Answer { bytes: self.message(BINDING_ERROR, &attributes), success: false }
    }

    fn message(&self, kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend(short(value.len()).to_be_bytes());
            body.extend(value);
            body.resize(padded(body.len()), 0);
        }
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(kind.to_be_bytes());
        message.extend(short(body.len()).to_be_bytes());
        message.extend(MAGIC);
        message.extend(self.transaction);
        message.extend(body);
        message
    }

    /// The value of XOR-MAPPED-ADDRESS (RFC 8489, 14.2): family, port and address, the latter two mixed with the header,
    /// because there are routers that replace addresses wherever they see them.
    fn xor_mapped(&self, from: SocketAddr) -> Vec<u8> {
        let mask = MAGIC.iter().chain(&self.transaction);
        let port = from.port() ^ u16::from_be_bytes([MAGIC[0], MAGIC[1]]);
        let (family, address) = match from.ip().to_canonical() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family];
        value.extend(port.to_be_bytes());
        value.extend(address.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        value
    }
}

/// What goes back.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Whether it tells an address. Else it says what was not understood.
    pub(super) success: bool,
}

/// The attributes that must be understood and are not, `None` when these bytes are no attributes.
fn unknown(mut attributes: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while !attributes.is_empty() {
        let kind = number(attributes, 0)?;
        let length = padded(usize::from(number(attributes, 2)?));
        attributes = attributes.get(4 + length..)?;
        if kind < OPTIONAL && !OF_PASSWORDS.contains(&kind) {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Lengths in here are far below 65,536: an answer is not much longer than [`MAX_REQUEST`].
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "192.0.2.1:32853";
    const V6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";

    /// The transaction id of the examples in RFC 5769.
    const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    /// The attributes of the request in RFC 5769, 2.1: SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY and
    /// FINGERPRINT.
    const EXAMPLE: &str = "80220010 5354554e 20746573 7420636c 69656e74 00240004 6e0001ff 80290008 932ff9b1 51263b36 \
        00060009 6576746a 3a683676 59202020 00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(16 * pair[0] + pair[1]).expect("a byte")).collect()
    }

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = short(attributes.len()).to_be_bytes();
        [&[0, 1], &length[..], &MAGIC, &TRANSACTION, attributes].concat()
    }

    fn answer(request: &[u8], from: &str) -> Answer {
        let answer = Request::parse(request).expect("a request").answer(from.parse().expect("an address"));
        assert!(answer.bytes.len() <= request.len() + MAX_GROWTH, "{} for {}", answer.bytes.len(), request.len());
        answer
    }

    /// The header and the mixed addresses of the responses in RFC 5769, 2.2 and 2.3, less the attributes we do not send.
    #[test]
    fn the_published_examples_come_out() {
        let v4 = answer(&request(&[]), V4);
        assert!(v4.success);
        let expected = "0101000c 2112a442 b7e7a701 bc34d686 fa87dfae 00200008 0001a147 e112a643";
        assert_eq!(v4.bytes, bytes(expected));
        let v6 = answer(&request(&[]), V6).bytes;
        let expected = "01010018 2112a442 b7e7a701 bc34d686 fa87dfae 00200014 0002a147 \
            0113a9fa a5d3f179 bc25f4b5 bed2b9d9";
        assert_eq!(v6, bytes(expected));
        let mapped = answer(&request(&[]), "[::ffff:192.0.2.1]:32853").bytes;
        assert_eq!(mapped, v4.bytes, "IPv4, though it came in by a socket of IPv6");
    }

    #[test]
    fn what_need_not_be_understood_is_passed_over() {
        for optional in
            ["80220004 61626364", "8022 0001 61000000", "00060003 61646100", "80280004 01020304", "c0570004 00010000"]
        {
            let attributes = bytes(optional);
            let whole = attributes.len().next_multiple_of(4);
            let request = request(&[&attributes[..], &vec![0; whole - attributes.len()]].concat());
            assert!(answer(&request, V4).success, "{optional}");
        }
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        // CHANGE-REQUEST of RFC 5780: to answer from another address would be to send to others unasked.
        let refused = answer(&request(&bytes("00030004 00000006")), V4);
        assert!(!refused.success);
        let expected = "01110010 2112a442 b7e7a701 bc34d686 fa87dfae 00090004 00000414 000a0002 00030000";
        assert_eq!(refused.bytes, bytes(expected));
        // PRIORITY belongs to ICE: a request between two peers, which has come to the wrong place.
        let refused = answer(&request(&bytes(EXAMPLE)), V4);
        assert_eq!(refused.bytes[28..], bytes("000a0002 00240000"));
    }

    #[test]
    fn no_request_makes_a_long_answer() {
        // Nothing but the shortest attributes that must be understood.
        let shortest: Vec<u8> = [0x7F, 0xFF, 0, 0].repeat((MAX_REQUEST - HEADER) / 4);
        for length in (0..=shortest.len()).step_by(4) {
            answer(&request(&shortest[..length]), V6);
        }
        assert_eq!(request(&shortest).len(), MAX_REQUEST);
        assert_eq!(Request::parse(&request(&[&shortest[..], &[0x7F, 0xFF, 0, 0]].concat())), None, "too long");
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let bare = request(&[]);
        assert_eq!(Request::parse(&answer(&bare, V4).bytes), None, "an answer is not answered");
        let changed = |at: usize, to: u8| {
            let mut bytes = bare.clone();
            bytes[at] = to;
            Request::parse(&bytes)
        };
        assert_eq!(changed(1, 0x11), None, "an indication");
        assert_eq!(changed(1, 0x03), None, "an Allocate request of TURN");
        assert_eq!(changed(0, 0x40), None, "QUIC or DTLS");
        assert_eq!(changed(4, 0), None, "no magic cookie");
        assert_eq!(changed(3, 4), None, "longer than it is");
        for length in 0..HEADER {
            assert_eq!(Request::parse(&bare[..length]), None);
        }
        assert_eq!(Request::parse(&request(&bytes("80220008 61626364"))), None, "an attribute that ends outside");
        assert_eq!(Request::parse(&request(&bytes("8022"))), None, "half an attribute");
    }
}
