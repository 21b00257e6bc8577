//! Searches, and what others' searches make of us.

use super::*;

fn criteria(capability: &str) -> Criteria {
    Criteria { capabilities: vec![capability.into()], ..Criteria::default() }
}

fn limit(limit: usize) -> SearchOptions {
    SearchOptions { limit: Some(limit), ..SearchOptions::default() }
}

fn search(directory: &mut Directory, capability: &str, options: SearchOptions, now: u64) -> SearchId {
    directory.search(criteria(capability), options, MessageId([5; 16]), at(now)).unwrap()
}

/// An announcement of agents that can sum.
fn sum(names: &str) -> Announcement {
    announcement(names.split_whitespace().map(|name| agent(name, "sum")))
}

/// Names of what each search has found.
fn found(outputs: &[Output]) -> Vec<(SearchId, String)> {
    let mut found = Vec::new();
    for output in outputs {
        if let Output::Event(Event::Found { id, agents }) = output {
            let mut names: Vec<_> = agents.iter().map(|agent| agent.record.name.to_string()).collect();
            names.sort();
            found.push((*id, names.join(" ")));
        }
    }
    found
}

/// When `id` ends if nothing happens, and what it has found.
fn end(directory: &mut Directory, id: SearchId) -> (u64, String) {
    let outputs = run(directory, 60_000);
    let ended = outputs.iter().flat_map(|(when, output)| {
        found(std::slice::from_ref(output)).into_iter().map(move |(found, names)| (found, (*when, names)))
    });
    ended.filter(|(found, _)| *found == id).map(|(_, end)| end).next().unwrap()
}

#[test]
fn what_is_known_is_found_at_once_if_it_is_enough() {
    let mut directory = directory();
    directory.announce(agent("mine", "sum"), at(0)).unwrap();
    hears(&mut directory, 1, 1, sum("a b"), 0);
    drain(&mut directory);
    for (asked, names) in [(0, ""), (1, "a"), (2, "a b")] {
        let id = search(&mut directory, "sum", limit(asked), 1);
        let outputs = drain(&mut directory);
        assert_eq!(found(&outputs), [(id, names.into())]);
        assert_eq!(outputs.len(), 1, "nobody is asked");
    }
    let [Output::Event(Event::Found { agents, .. })] = &{
        search(&mut directory, "sum", limit(1), 2);
        drain(&mut directory)
    }[..] else {
        panic!("not found");
    };
    assert_eq!(*agents, [peer(1, agent("a", "sum"), 0)]);
}

#[test]
fn the_mesh_is_asked_for_more_and_told_who_is_known() {
    let mut directory = directory();
    directory.announce(agent("mine", "sum"), at(0)).unwrap();
    hears(&mut directory, 1, 7, sum("a"), 0);
    hears(&mut directory, 2, 8, agents("other"), 0);
    drain(&mut directory);
    let id = search(&mut directory, "sum", limit(2), 0);
    let query = Query { id: MessageId([5; 16]), criteria: criteria("sum"), known: vec![Known(node(1), 7)] };
    assert_eq!(drain(&mut directory), [Output::Ask(query)]);
    hears(&mut directory, 3, 1, sum("c"), 100);
    assert_eq!(found(&drain(&mut directory)), [(id, "a c".into())], "at its limit");
}

#[test]
fn no_more_are_named_as_known_than_a_query_may_hold() {
    let mut directory = directory();
    for n in 1..=130 {
        hears(&mut directory, n, 1, sum("a"), 0);
    }
    drain(&mut directory);
    search(&mut directory, "sum", SearchOptions::default(), 0);
    let [Output::Ask(query)] = &drain(&mut directory)[..] else {
        panic!("nobody is asked");
    };
    assert_eq!(query.known.len(), 128);
    query.check().unwrap();
}

#[test]
fn without_a_match_it_ends_at_its_timeout() {
    let mut directory = directory();
    let id = search(&mut directory, "sum", SearchOptions::default(), 100);
    hears(&mut directory, 1, 1, agents("other"), 2_000);
    assert_eq!(end(&mut directory, id), (2_600, String::new()));
}

#[test]
fn with_a_match_it_ends_in_a_quiet_moment() {
    let mut known = directory();
    hears(&mut known, 1, 1, sum("a"), 0);
    let id = search(&mut known, "sum", SearchOptions::default(), 100);
    assert_eq!(end(&mut known, id), (350, "a".into()));

    let mut unknown = directory();
    let id = search(&mut unknown, "sum", SearchOptions::default(), 0);
    for (n, now) in [(1, 1_000), (2, 1_200), (3, 1_449)] {
        hears(&mut unknown, n, 1, sum(&format!("a{n}")), now);
        assert_eq!(found(&tick(&mut unknown, now)), []);
    }
    assert_eq!(end(&mut unknown, id), (1_699, "a1 a2 a3".into()));

    let mut busy = directory();
    let id = search(&mut busy, "sum", SearchOptions::default(), 0);
    for n in 1..=25 {
        hears(&mut busy, n, 1, sum("a"), u64::from(n) * 99);
        assert_eq!(found(&tick(&mut busy, u64::from(n) * 99)), []);
    }
    assert_eq!(end(&mut busy, id).0, 2_500, "never later than its timeout");
}

#[test]
fn only_new_matches_disturb_the_quiet() {
    let mut directory = directory();
    hears(&mut directory, 1, 1, sum("a"), 0);
    let id = search(&mut directory, "sum", SearchOptions::default(), 0);
    hears(&mut directory, 1, 2, sum("a"), 200); // made again, as every announcement is
    hears(&mut directory, 2, 1, agents("b"), 200);
    hears(&mut directory, 1, 3, announcement([agent("a", "sum"), agent("c", "")]), 240);
    assert_eq!(end(&mut directory, id), (250, "a".into()));

    let id = search(&mut directory, "sum", SearchOptions::default(), 1_000);
    hears(&mut directory, 1, 4, sum("a d"), 1_200);
    assert_eq!(end(&mut directory, id), (1_450, "a d".into()), "a second agent of a known node is new");
}

#[test]
fn what_has_left_meanwhile_is_not_found() {
    let mut directory = directory();
    hears(&mut directory, 1, 1, sum("a"), 0);
    hears(&mut directory, 2, 1, sum("b"), 0);
    let id = search(&mut directory, "sum", limit(3), 0);
    hears(&mut directory, 1, 2, goodbye(), 100);
    assert_eq!(end(&mut directory, id), (250, "b".into()));
}

#[test]
fn a_limit_cuts_what_one_node_brings() {
    let mut directory = directory();
    let id = search(&mut directory, "sum", limit(2), 0);
    drain(&mut directory);
    hears(&mut directory, 1, 1, sum("a b c"), 10);
    assert_eq!(found(&drain(&mut directory)), [(id, "a b".into())]);
    assert_eq!(found(&tick(&mut directory, 10_000)), [], "once");
}

#[test]
fn several_searches_end_each_by_itself() {
    let mut directory = directory();
    let first = search(&mut directory, "sum", limit(1), 0);
    let second = search(&mut directory, "sum", limit(2), 0);
    let other = search(&mut directory, "tell", limit(1), 0);
    hears(&mut directory, 1, 1, sum("a"), 10);
    assert_eq!(found(&drain(&mut directory)), [(first, "a".into())]);
    hears(&mut directory, 2, 1, sum("b"), 20);
    assert_eq!(found(&drain(&mut directory)), [(second, "a b".into())]);
    assert_eq!(end(&mut directory, other), (2_500, String::new()));
}

#[test]
fn searches_are_bounded_and_can_be_given_up() {
    let mut directory = with(Config { max_searches: 2, ..Config::default() });
    let first = search(&mut directory, "sum", SearchOptions::default(), 0);
    search(&mut directory, "sum", SearchOptions::default(), 0);
    let another = |directory: &mut Directory| {
        directory.search(criteria("sum"), SearchOptions::default(), MessageId([5; 16]), at(0))
    };
    assert_eq!(another(&mut directory), Err(Error::Busy));
    directory.cancel(first);
    assert!(another(&mut directory).is_ok(), "one was given up");
    assert_eq!(another(&mut directory), Err(Error::Busy));
    let ended: Vec<_> = found(&tick(&mut directory, 2_500)).into_iter().map(|(id, _)| id).collect();
    assert!(!ended.contains(&first) && ended.len() == 2, "{ended:?}");
    assert!(another(&mut directory).is_ok(), "they have ended");
}

#[test]
fn questions_keep_to_the_quota_and_the_rest_waits() {
    let asked = |outputs: &[(u64, Output)]| -> Vec<u64> {
        outputs.iter().filter(|(_, output)| matches!(output, Output::Ask(_))).map(|(when, _)| *when).collect()
    };
    let mut directory = directory();
    let long = SearchOptions { timeout_ms: 5_000, ..SearchOptions::default() };
    let searches: Vec<_> = (0..20).map(|n| search(&mut directory, &format!("can {n}"), long, 0)).collect();
    let at_once = drain(&mut directory);
    assert_eq!(at_once.iter().filter(|output| matches!(output, Output::Ask(_))).count(), 10);
    directory.cancel(searches[11]);
    let outputs = run(&mut directory, 3_000);
    assert_eq!(asked(&outputs), [1_000, 2_000, 3_000], "one a second");
    let Some((_, Output::Ask(query))) = outputs.iter().find(|(when, _)| *when == 2_000) else {
        panic!("nothing is asked");
    };
    assert_eq!(query.criteria, criteria("can 12"), "not what was given up");
    let outputs = run(&mut directory, 20_000);
    assert_eq!(asked(&outputs), [4_000], "nothing once they have ended");
    assert_eq!(outputs.iter().map(|(_, output)| found(std::slice::from_ref(output)).len()).sum::<usize>(), 19);
}

#[test]
fn criteria_keep_to_their_bounds() {
    let mut directory = directory();
    let invalid = directory.search(criteria(&"x".repeat(65)), limit(1), MessageId([5; 16]), at(0));
    assert!(matches!(invalid, Err(Error::Invalid(_))));
    assert_eq!(drain(&mut directory), []);
}

#[test]
fn who_is_asked_for_and_not_known_announces_itself_again() {
    let mut directory = directory();
    directory.announce(agent("a", "sum"), at(0)).unwrap();
    tick(&mut directory, 0);
    directory.announced(&sealed(9, 20, 0, &sum("a")));
    let query =
        |capability: &str, known: Vec<Known>| Query { id: MessageId([1; 16]), criteria: criteria(capability), known };
    // (query, whether it is answered)
    let cases = [
        (query("tell", vec![]), false),
        (query("sum", vec![]), true),
        (query("sum", vec![Known(ME, 20)]), false),
        (query("sum", vec![Known(ME, 21)]), false),
        (query("sum", vec![Known(ME, 19)]), true), // it knows of one that was replaced
        (query("sum", vec![Known(node(1), 20)]), true),
        (Query { criteria: Criteria { node: Some(ME), ..criteria("sum") }, ..query("sum", vec![]) }, true),
        (Query { criteria: Criteria { node: Some(node(1)), ..criteria("sum") }, ..query("sum", vec![]) }, false),
    ];
    for (n, (query, answered)) in cases.into_iter().enumerate() {
        let now = 20_000 + n as u64 * 3_000;
        directory.asked(&query, at(now));
        let answer = answered.then(|| Output::Announce(sum("a")));
        assert_eq!(tick(&mut directory, now), answer.into_iter().collect::<Vec<_>>(), "{query:?}");
    }
}

#[test]
fn answers_keep_to_the_quota_too() {
    let mut directory = directory();
    directory.announce(agent("a", "sum"), at(0)).unwrap();
    let mut answers = 0;
    for now in (0..60_000).step_by(10) {
        let query = Query { id: MessageId([1; 16]), criteria: criteria("sum"), known: vec![] };
        directory.asked(&query, at(now));
        answers += tick(&mut directory, now).len();
    }
    assert_eq!(answers, 4 + 29, "what is left of the burst, and one every two seconds");
}
