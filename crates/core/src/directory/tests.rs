//! Steps of a directory: what is done to it, when, and what it wants or says then.

use mesh_proto::envelope::VERSION;
use mesh_proto::limits::{MAX_ENVELOPE, MAX_LABEL, TTL_MS};
use mesh_proto::{Hlc, Keypair, Kind, MeshId};

use super::*;

mod search;

/// Unix time at the monotonic 0.
const EPOCH: u64 = 1_700_000_000_000;
const ME: NodeId = NodeId([0; 32]);

fn at(mono: u64) -> Now {
    Now { mono: Mono(mono), unix: EPOCH + mono }
}

fn directory() -> Directory {
    with(Config::default())
}

/// Past its first announcement, which is empty.
fn with(config: Config) -> Directory {
    let mut directory = Directory::new(config, ME, at(0));
    assert_eq!(tick(&mut directory, 0), [Output::Announce(Announcement::default())]);
    directory
}

fn drain(directory: &mut Directory) -> Vec<Output> {
    std::iter::from_fn(|| directory.poll_output()).collect()
}

fn tick(directory: &mut Directory, now: u64) -> Vec<Output> {
    directory.handle_timeout(at(now));
    drain(directory)
}

/// Lets time pass until `end`; what is wanted, and when.
fn run(directory: &mut Directory, end: u64) -> Vec<(u64, Output)> {
    let mut outputs = Vec::new();
    while let Some(due) = directory.poll_timeout().filter(|due| due.0 <= end) {
        let wanted = tick(directory, due.0);
        assert!(!wanted.is_empty() || directory.poll_timeout() > Some(due), "it would spin at {due:?}");
        outputs.extend(wanted.into_iter().map(|output| (due.0, output)));
    }
    outputs
}

fn name(name: &str) -> AgentName {
    name.parse().unwrap()
}

/// An agent and its capabilities, divided by spaces.
fn agent(named: &str, capabilities: &str) -> AgentRecord {
    AgentRecord::new(name(named), capabilities.split_whitespace().map(str::to_owned))
}

/// Agents called as they are divided by spaces.
fn agents(names: &str) -> Announcement {
    announcement(names.split_whitespace().map(|name| agent(name, "")))
}

fn announcement(agents: impl IntoIterator<Item = AgentRecord>) -> Announcement {
    Announcement { agents: agents.into_iter().collect(), ..Announcement::default() }
}

fn goodbye() -> Announcement {
    Announcement { leaving: true, ..Announcement::default() }
}

fn key(n: u8) -> Keypair {
    Keypair::from_seed(&[n; 32])
}

fn node(n: u8) -> NodeId {
    key(n).node()
}

/// The announcement number `seq` of node `n`, made at `made`.
fn sealed(n: u8, seq: u64, made: u64, announcement: &Announcement) -> Verified<Envelope> {
    Envelope {
        v: VERSION,
        mesh: MeshId([7; 32]),
        kind: Kind::AgentAnnounce,
        from: node(n),
        seq,
        clock: Hlc::at(EPOCH + made),
        ttl: TTL_MS,
        payload: codec::encode(announcement, MAX_ENVELOPE).unwrap().into(),
    }
    .sign(&key(n))
    .unwrap()
}

/// Hears the announcement at the moment it is made.
fn hears(directory: &mut Directory, n: u8, seq: u64, announcement: Announcement, now: u64) -> Applied {
    let envelope = sealed(n, seq, now, &announcement);
    directory.apply(&envelope, announcement, at(now))
}

fn peer(n: u8, record: AgentRecord, announced: u64) -> PeerAgent {
    PeerAgent { node: node(n), record, announced: EPOCH + announced, local: false }
}

/// Events in words: `+a1` joined, `~a1` updated, `-a1` withdrawn, `!a1` expired, `-1` node left; the node last.
fn words(outputs: &[Output]) -> String {
    let nodes = (1..=9).map(node).collect::<Vec<_>>();
    let number = |node: &NodeId| nodes.iter().position(|known| known == node).unwrap() + 1;
    let words = outputs.iter().map(|output| match output {
        Output::Event(Event::Joined(agent)) => format!("+{}{}", agent.record.name, number(&agent.node)),
        Output::Event(Event::Updated(agent)) => format!("~{}{}", agent.record.name, number(&agent.node)),
        Output::Event(Event::Left { id, reason: LeftReason::Withdrawn }) => format!("-{}{}", id.name, number(&id.node)),
        Output::Event(Event::Left { id, reason: LeftReason::Expired }) => format!("!{}{}", id.name, number(&id.node)),
        Output::Event(Event::NodeLeft(node)) => format!("-{}", number(node)),
        Output::Event(Event::Found { .. }) | Output::Announce(_) | Output::Ask(_) => format!("{output:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn an_unchanged_announcement_is_made_again_three_times_within_a_ttl() {
    let mut directory = directory();
    directory.announce(agent("a", "sum"), at(10)).unwrap();
    let same = Output::Announce(announcement([agent("a", "sum")]));
    let made: Vec<_> = run(&mut directory, 310_000);
    assert_eq!(made, [10, 100_010, 200_010, 300_010].map(|when| (when, same.clone())));
}

#[test]
fn changes_are_announced_together_and_within_the_quota() {
    let mut directory = directory();
    let mut made = Vec::new();
    // A change every 100 ms for 20 s.
    for n in 0..200 {
        let now = n * 100;
        made.extend(run(&mut directory, now));
        directory.announce(agent("a", &n.to_string()), at(now)).unwrap();
    }
    made.extend(run(&mut directory, 30_000));

    let when: Vec<u64> = made.iter().map(|(when, _)| *when).collect();
    // The first went before the changes, four are left of the burst, and one comes every two seconds.
    assert_eq!(when[..5], [0, 100, 200, 300, 2_000]);
    assert!(when[4..].windows(2).all(|pair| pair[1] - pair[0] == 2_000), "{when:?}");
    assert_eq!(when.len(), 4 + 10, "{when:?}");
    assert_eq!(made.last().unwrap().1, Output::Announce(announcement([agent("a", "199")])), "the last change is told");
}

#[test]
fn agents_of_ours_are_announced_and_withdrawn_together() {
    let mut directory = directory();
    directory.announce(agent("b", ""), at(1)).unwrap();
    directory.announce(agent("a", ""), at(1)).unwrap();
    directory.set_addresses(vec!["/ip4/10.0.0.1".into()], at(1));
    let all = Announcement { addresses: vec!["/ip4/10.0.0.1".into()], ..agents("a b") };
    assert_eq!(tick(&mut directory, 1), [Output::Announce(all)], "sorted by name");
    assert!(directory.is_local(&name("a")) && !directory.is_local(&name("c")));

    assert_eq!(directory.withdraw(&name("c"), at(2)), Err(Error::UnknownAgent));
    assert_eq!(tick(&mut directory, 2), []);
    directory.withdraw(&name("a"), at(3)).unwrap();
    let rest = Announcement { addresses: vec!["/ip4/10.0.0.1".into()], ..agents("b") };
    assert_eq!(tick(&mut directory, 3), [Output::Announce(rest)]);
    assert_eq!(directory.withdraw(&name("a"), at(4)), Err(Error::UnknownAgent));
}

#[test]
fn addresses_keep_to_their_bounds_and_only_changes_are_told() {
    let mut directory = directory();
    let longest = "x".repeat(256);
    let mut addresses = vec!["x".repeat(257), longest.clone()];
    addresses.extend((0..8).map(|n| format!("/{n}")));
    directory.set_addresses(addresses.clone(), at(1));
    let [Output::Announce(announced)] = &tick(&mut directory, 1)[..] else {
        panic!("no announcement");
    };
    assert_eq!(announced.addresses.len(), 8);
    assert_eq!(announced.addresses[..2], [longest, "/0".into()]);
    announced.check().unwrap();
    directory.set_addresses(addresses, at(2));
    assert_eq!(tick(&mut directory, 2), []);
}

#[test]
fn what_does_not_fit_leaves_everything_as_it_was() {
    let mut directory = directory();
    for n in 0..256 {
        directory.announce(agent(&n.to_string(), ""), at(1)).unwrap();
    }
    assert_eq!(directory.announce(agent("one more", ""), at(1)), Err(Error::Full));
    directory.announce(agent("7", "sum"), at(1)).expect("one that is there may change");
    assert_eq!(directory.agents().count(), 256);

    let mut directory = with(Config::default());
    let large = |name: &str, len: usize| AgentRecord { metadata: Some(vec![0; len].into()), ..agent(name, "") };
    let fitting = (0..256).take_while(|n| directory.announce(large(&format!("{n:03}"), 1024), at(1)).is_ok()).count();
    assert!((50..60).contains(&fitting), "{fitting} agents of a kilobyte");
    assert_eq!(directory.announce(large("one more", 1024), at(1)), Err(Error::Full));
    assert_eq!(directory.agents().count(), fitting);
    assert_eq!(
        directory.announce(large("000", 1025), at(1)).map_err(|error| matches!(error, Error::Invalid(_))),
        Err(true)
    );
    assert_eq!(directory.agents().next().unwrap().record, large("000", 1024), "the old one is still there");

    let resources = mesh_proto::agent::Resources { cpu: Some(f64::NAN), ..Default::default() };
    let unencodable = AgentRecord { resources: Some(resources), ..agent("nan", "") };
    assert!(matches!(directory.announce(unencodable, at(1)), Err(Error::Unencodable(_))));
    let invalid = AgentRecord { kind: Some("x".repeat(MAX_LABEL + 1)), ..agent("invalid", "") };
    assert!(matches!(directory.announce(invalid, at(1)), Err(Error::Invalid(_))));
    assert_eq!(directory.agents().count(), fitting);
}

#[test]
fn after_a_goodbye_only_a_new_agent_is_announced() {
    let mut directory = directory();
    directory.announce(agent("a", ""), at(1)).unwrap();
    tick(&mut directory, 1);
    directory.leave();
    assert_eq!(drain(&mut directory), [Output::Announce(goodbye())]);
    // Listeners close on the way out, others ask.
    directory.set_addresses(vec!["/ip4/10.0.0.1".into()], at(2));
    let anyone = Query { id: MessageId([0; 16]), criteria: Criteria::default(), known: vec![] };
    directory.asked(&anyone, at(2));
    assert_eq!(directory.poll_timeout(), None);
    assert_eq!(tick(&mut directory, 500_000), []);

    directory.announce(agent("b", ""), at(500_000)).unwrap();
    let back = Announcement { addresses: vec!["/ip4/10.0.0.1".into()], ..agents("b") };
    assert_eq!(tick(&mut directory, 500_000), [Output::Announce(back)]);
}

#[test]
fn announcements_of_others_step_by_step() {
    use Applied::{Current, Known};
    let mut directory = directory();
    let changed = || announcement([agent("a", "sum"), agent("b", "")]);
    // (at, node, seq, announcement, what came of it, events)
    let steps = [
        (1, 1, 10, agents("a"), Current, "+a1"),
        (2, 1, 10, agents("a"), Known, ""),
        (2, 1, 9, agents("x"), Known, ""),
        (3, 1, 11, agents("a"), Current, ""),
        (4, 1, 12, agents("a b"), Current, "+b1"),
        (5, 1, 13, changed(), Current, "~a1"),
        (5, 2, 1, agents("a"), Current, "+a2"),
        (6, 1, 14, agents("b c"), Current, "+c1 -a1"),
        (7, 1, 20, goodbye(), Current, "-b1 -c1 -1"),
        (8, 1, 19, agents("a b"), Known, ""), // older, though it comes later
        (8, 1, 20, agents("a b"), Known, ""),
        (9, 1, 21, agents("a"), Current, "+a1"), // a new run of the node
        (9, 3, 5, goodbye(), Current, "-3"),     // never heard of
        (9, 3, 4, agents("a"), Known, ""),
    ];
    for (now, n, seq, announcement, applied, events) in steps {
        let what = format!("{announcement:?} at {now}");
        assert_eq!(hears(&mut directory, n, seq, announcement, now), applied, "{what}");
        assert_eq!(words(&drain(&mut directory)), events, "{what}");
    }
    let known: Vec<_> = directory.agents().collect();
    let (mut expected, records) = (vec![peer(1, agent("a", ""), 9), peer(2, agent("a", ""), 5)], 2);
    expected.sort_by_key(|agent| agent.node);
    assert_eq!(known, expected);
    assert_eq!((directory.node_count(), directory.agent_count(&node(1))), (1 + records, 1), "who left does not count");
}

#[test]
fn our_own_announcement_comes_back_as_known() {
    let mut directory = Directory::new(Config::default(), node(1), at(0));
    assert_eq!(hears(&mut directory, 1, u64::MAX, agents("a"), 1), Applied::Known);
    assert_eq!(directory.agents().count(), 0);
    assert!(directory.knows(&node(1), u64::MAX));
}

#[test]
fn an_announcement_counts_until_its_ttl_has_passed() {
    let mut directory = directory();
    hears(&mut directory, 1, 1, agents("a b"), 1_000);
    // It was made a minute ago, and a minute less is left of it.
    let envelope = sealed(2, 1, 0, &agents("c"));
    directory.apply(&envelope, agents("c"), at(60_000));
    drain(&mut directory);

    let events = |directory: &mut Directory, now: u64| {
        let events: Vec<_> =
            tick(directory, now).into_iter().filter(|output| matches!(output, Output::Event(_))).collect();
        words(&events)
    };
    assert_eq!(events(&mut directory, 299_999), "");
    assert_eq!(events(&mut directory, 300_000), "!c2 -2");
    assert_eq!(events(&mut directory, 300_999), "");
    hears(&mut directory, 1, 2, agents("a"), 300_999);
    assert_eq!(events(&mut directory, 301_000), "-b1", "made anew just in time");
    assert_eq!(events(&mut directory, 600_998), "");
    assert_eq!(events(&mut directory, 600_999), "!a1 -1");
    assert_eq!(directory.agents().count(), 0);
    assert_eq!(directory.wires_after(0).count(), 0);
}

#[test]
fn a_goodbye_is_kept_as_long_as_what_it_takes_back() {
    let mut directory = directory();
    let (older, left) = (agents("a"), goodbye());
    let envelope = sealed(1, 1, 59_000, &older); // by a clock that is ahead
    directory.apply(&sealed(1, 2, 59_001, &left), left, at(0));
    assert_eq!(words(&drain(&mut directory)), "-1");
    for now in [0, 100_000, 200_000, 359_000] {
        tick(&mut directory, now);
        assert_eq!(directory.apply(&envelope, older.clone(), at(now)), Applied::Known, "at {now}");
    }
    // Then the older one has expired too, and nobody lets it in any more. The goodbye goes without a word.
    let last: Vec<_> = run(&mut directory, 359_001).into_iter().map(|(_, output)| output).collect();
    assert_eq!(words(&last), "");
    assert!(!directory.knows(&node(1), 2));
}

#[test]
fn nodes_are_bounded() {
    let mut directory = with(Config { max_nodes: 2, ..Config::default() });
    assert_eq!(hears(&mut directory, 1, 1, agents("a"), 0), Applied::Current);
    assert_eq!(hears(&mut directory, 2, 1, agents("b"), 1), Applied::Current);
    assert_eq!(hears(&mut directory, 3, 1, agents("c"), 1), Applied::NoRoom);
    assert_eq!(hears(&mut directory, 1, 2, agents("a d"), 2), Applied::Current, "those that are in may change");
    tick(&mut directory, 300_001);
    assert_eq!(hears(&mut directory, 3, 2, agents("c"), 300_001), Applied::Current, "the second has expired");
}

#[test]
fn bytes_are_bounded() {
    let size = |names: &str| sealed(1, 1, 0, &agents(names)).wire().len();
    let mut directory = with(Config { max_bytes: size("a") + size("bb"), ..Config::default() });
    assert_eq!(hears(&mut directory, 1, 1, agents("a"), 0), Applied::Current);
    assert_eq!(hears(&mut directory, 2, 1, agents("bbb"), 0), Applied::NoRoom, "one byte too many");
    assert_eq!(hears(&mut directory, 2, 1, agents("bb"), 0), Applied::Current, "at the limit");
    assert_eq!(hears(&mut directory, 1, 2, agents("aa"), 0), Applied::NoRoom, "those that are in may not grow past it");
    assert!(directory.knows(&node(1), 1), "and stay as they are");
    assert_eq!(hears(&mut directory, 2, 2, agents("b"), 0), Applied::Current);
    assert_eq!(hears(&mut directory, 1, 2, agents("aa"), 0), Applied::Current, "room that was freed counts");
    tick(&mut directory, 300_000);
    assert_eq!(hears(&mut directory, 1, 3, agents("a"), 300_000), Applied::Current);
    assert_eq!(hears(&mut directory, 2, 3, agents("bb"), 300_000), Applied::Current, "and what has expired");
}

#[test]
fn announcements_are_handed_on_in_the_order_they_came() {
    let mut directory = directory();
    let wires = |directory: &Directory, place| directory.wires_after(place).cloned().collect::<BTreeSet<_>>();
    let wire = |n, seq, now, announcement| sealed(n, seq, now, &announcement).wire().clone();

    let own = sealed(9, 5, 0, &agents("me"));
    directory.announced(&own);
    hears(&mut directory, 1, 1, agents("a"), 1);
    hears(&mut directory, 2, 1, agents("b"), 2);
    assert_eq!(wires(&directory, 0).len(), 3);
    assert_eq!(directory.current_seq(), 5);
    assert_eq!(directory.current(), Some(own.wire()));
    assert_eq!(directory.wire_of(&node(1)), Some(&wire(1, 1, 1, agents("a"))));

    let place = directory.place();
    assert_eq!(wires(&directory, place).len(), 0);
    hears(&mut directory, 1, 2, goodbye(), 3);
    assert_eq!(wires(&directory, place), [wire(1, 2, 3, goodbye())].into(), "goodbyes too");
    let own = sealed(9, 6, 4, &agents("me"));
    directory.announced(&own);
    assert_eq!(wires(&directory, place), [wire(1, 2, 3, goodbye()), own.wire().clone()].into());
    assert_eq!(wires(&directory, 0).len(), 3, "each node once");
}

#[test]
fn addresses_are_those_of_the_latest_announcement() {
    let mut directory = directory();
    let with = |address: &str| Announcement { addresses: vec![address.into()], ..agents("a") };
    assert_eq!(directory.addresses(&node(1)), [""; 0]);
    hears(&mut directory, 1, 1, with("/one"), 1);
    hears(&mut directory, 1, 2, with("/two"), 2);
    assert_eq!(directory.addresses(&node(1)), ["/two"]);
    assert_eq!(words(&drain(&mut directory)), "+a1", "where its node is makes no other agent");
}

#[test]
fn names_are_resolved_when_they_are_unique_or_say_the_node() {
    let mut directory = directory();
    directory.announce(agent("local", ""), at(0)).unwrap();
    directory.announce(agent("both", ""), at(0)).unwrap();
    hears(&mut directory, 1, 1, agents("both far twin"), 0);
    hears(&mut directory, 2, 1, agents("twin"), 0);
    let (one, two) = (node(1), node(2));
    let unknown = Err(Error::UnknownAgent);
    // (name, node, expected)
    let cases = [
        ("local", None, Ok(ME)),
        ("far", None, Ok(one)),
        ("nobody", None, unknown.clone()),
        ("far", Some(two), unknown.clone()),
        ("local", Some(one), unknown.clone()),
        ("twin", Some(two), Ok(two)),
        ("both", Some(ME), Ok(ME)),
        ("both", Some(one), Ok(one)),
        ("both", None, Err(Error::Ambiguous(vec![one, ME]))),
    ];
    for (named, node, expected) in cases {
        assert_eq!(directory.resolve(&name(named), node.as_ref()), expected, "{named} on {node:?}");
    }
    let Err(Error::Ambiguous(nodes)) = directory.resolve(&name("twin"), None) else {
        panic!("it is ambiguous");
    };
    assert_eq!(nodes.into_iter().collect::<BTreeSet<_>>(), [one, two].into());

    hears(&mut directory, 2, 2, agents(""), 1);
    assert_eq!(directory.resolve(&name("twin"), None), Ok(one), "once the other is withdrawn");
    hears(&mut directory, 1, 2, goodbye(), 1);
    assert_eq!(directory.resolve(&name("twin"), None), unknown.clone());
    assert_eq!(directory.resolve(&name("both"), None), Ok(ME));
    hears(&mut directory, 2, 3, agents("twin"), 2);
    tick(&mut directory, 300_002);
    assert_eq!(directory.resolve(&name("twin"), None), unknown, "once it has expired");
}
