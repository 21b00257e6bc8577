use super::*;
use crate::credential::tests::largest_chain;
use crate::limits::MAX_ADMISSION;

fn largest_domain() -> Domain {
    Domain { name: "x".repeat(MAX_DOMAIN), owner: Some(NodeId([255; 32])) }
}

/// In a domain of its own, as no summary says of one twice.
fn summary(n: usize) -> Summary {
    let name = format!("{n:x>64}");
    Summary { domain: Domain { name, ..largest_domain() }, count: u64::MAX, digest: EntryId([1; 32]) }
}

fn round(ranges: usize) -> Round {
    Round { session: u64::MAX, domain: largest_domain(), ranges: ByteBuf::from(vec![0; ranges]) }
}

fn push(entries: Vec<ByteBuf>, credentials: Vec<Credited>) -> Message {
    Message::Push { question: u64::MAX, entries, credentials, last: false }
}

fn pull(session: Option<u64>, count: usize) -> Message {
    Message::Pull { question: u64::MAX, session, domain: largest_domain(), entries: vec![EntryId([1; 32]); count] }
}

fn credited(n: usize) -> Credited {
    Credited { node: NodeId([n as u8; 32]), chain: largest_chain() }
}

fn contents(count: usize) -> Vec<Cid> {
    (0..count).map(|n| cid(DAG_PB, SHA2_256, &[n as u8; 32])).collect()
}

#[test]
fn messages_are_read_as_they_were_written() {
    let messages = [
        Message::Summary(vec![]),
        Message::Summary(vec![summary(0), Summary { domain: Domain::shared("a"), count: 0, digest: digest([]) }]),
        Message::Compare(round(0)),
        Message::Compared(round(3)),
        Message::Have { domain: Domain::shared("a"), entries: vec![EntryId([2; 32])] },
        pull(Some(1), 0),
        pull(None, 1),
        push(vec![], vec![]),
        push(vec![ByteBuf::from([1, 2])], vec![credited(1)]),
        Message::WhoHas { question: 1, contents: contents(1) },
        Message::Holds { question: 0, contents: vec![] },
        Message::Full(contents(2)),
    ];
    for message in messages {
        assert_eq!(read_back(&message), Ok(message.clone()));
        assert_eq!(message.encode().unwrap(), codec::encode(&message, MAX_BODY).unwrap());
    }
}

#[test]
fn messages_are_bounded() {
    let ids = |count| vec![EntryId([1; 32]); count];
    assert_bound("domains", 256, |count| Message::Summary((0..count).map(summary).collect()));
    assert_bound("ranges", 48 * 1024, |len| Message::Compare(round(len)));
    assert_bound("ranges", 48 * 1024, |len| Message::Compared(round(len)));
    assert_bound("entries", 1024, |count| pull(None, count));
    assert_bound("entries", 1024, |count| Message::Have { domain: Domain::shared("a"), entries: ids(count) });
    assert_bound("entries", 512, |count| push(vec![ByteBuf::new(); count], vec![]));
    assert_bound("entry", 4 * 1024, |len| push(vec![ByteBuf::from(vec![0; len])], vec![]));
    assert_bound("credentials", 32, |count| push(vec![], (0..count).map(credited).collect()));
    assert_bound("contents", 512, |count| Message::WhoHas { question: 1, contents: contents(count) });
    assert_bound("contents", 512, |count| Message::Holds { question: 1, contents: contents(count) });
    assert_bound("contents", 512, |count| Message::Full(contents(count)));
    assert_bound("domain", 64, |len| {
        let domain = Domain::shared("x".repeat(len));
        Message::Summary(vec![Summary { domain, count: 0, digest: EntryId([1; 32]) }])
    });
    assert_bound("domain", 64, |len| Message::Compare(Round { domain: Domain::shared("x".repeat(len)), ..round(0) }));
}

#[test]
fn a_part_that_is_none_is_refused_in_a_message_too() {
    let unnamed = Domain::shared("a\tb");
    let other = cid(0x71, SHA2_256, &[1; 32]);
    let refused = [
        Message::Summary(vec![Summary { domain: unnamed.clone(), count: 0, digest: EntryId([1; 32]) }]),
        Message::Compare(Round { domain: unnamed.clone(), ..round(1) }),
        Message::Compared(Round { domain: unnamed, ..round(1) }),
        Message::WhoHas { question: 1, contents: vec![other] },
        Message::Holds { question: 1, contents: vec![contents(1)[0], other] },
        Message::Full(vec![other]),
    ];
    for message in refused {
        malformed(read_back(&message));
    }
    let mut chain = largest_chain();
    chain.0.push(chain.0[0].clone());
    let long = push(vec![], vec![Credited { node: NodeId([1; 32]), chain }]);
    assert!(matches!(read_back(&long), Err(DecodeError::OutOfBounds { what: "credentials", max: 2 })));
}

#[test]
fn the_largest_messages_fit_a_direct_message() {
    let messages = [
        Message::Summary((0..MAX_SUMMARIES).map(summary).collect()),
        Message::Compared(round(MAX_ROUND_BYTES)),
        pull(Some(u64::MAX), MAX_NAMED),
        Message::Have { domain: largest_domain(), entries: vec![EntryId([1; 32]); MAX_NAMED] },
        Message::WhoHas { question: u64::MAX, contents: contents(MAX_CONTENTS) },
        Message::Holds { question: u64::MAX, contents: contents(MAX_CONTENTS) },
        Message::Full(contents(MAX_CONTENTS)),
    ];
    for message in messages {
        let len = message.encode().unwrap().len();
        println!("{}: {len} bytes", format!("{message:?}").split(['(', ' ']).next().unwrap());
        assert!(len < MAX_BODY);
    }
    // As many entries of the largest size as there is room for, and all the credentials that may come with them.
    let entries = |count| push(vec![ByteBuf::from(vec![0; MAX_ENTRY]); count], vec![]);
    assert!(entries(14).encode().is_ok() && entries(15).encode().is_err());
    let credentials = push(vec![ByteBuf::new()], (0..MAX_CREDITED).map(credited).collect());
    assert!(credentials.encode().is_ok());
    assert!(codec::encode(&credited(1), MAX_ADMISSION).is_ok());
}

#[test]
fn a_message_has_one_encoding() {
    let push = b"\xa1\x64push\xa3\x64last\xf5\x67entries\x80\x68question\x00";
    let read = |bytes: &[u8]| codec::decode::<Message>(bytes, 1024);
    assert_eq!(read(push), Ok(Message::Push { question: 0, entries: vec![], credentials: vec![], last: true }));
    let wrong: [(&str, &[u8]); 5] = [
        (
            "no credentials, spelled out",
            b"\xa1\x64push\xa4\x64last\xf5\x67entries\x80\x68question\x00\x6bcredentials\x80",
        ),
        ("an unknown message", b"\xa1\x64Push\xa3\x64last\xf5\x67entries\x80\x68question\x00"),
        ("two in one", b"\xa2\x64full\x80\x64push\xa3\x64last\xf5\x67entries\x80\x68question\x00"),
        ("no map around it", b"\x64full\x80"),
        ("a field too few", b"\xa1\x64push\xa2\x64last\xf5\x67entries\x80"),
    ];
    for (what, bytes) in wrong {
        assert!(matches!(read(bytes), Err(DecodeError::Malformed(_))), "{what}");
    }
}
