//! Ten thousand slots with a third of traitors: none breaks a rule. See `mesh_sim::slots`.

use mesh_sim::slots::campaign::{self, Totals};

fn assert_good(name: &str, totals: &Totals) {
    println!("{name}: {totals}");
    assert!(totals.broken.is_empty(), "npm run sim -- --slots 1 --seed …");
}

#[test]
fn slots_of_4_to_31_voters() {
    assert_good("4 to 31 voters", &campaign::play_all(0..10_000, None, 2, |_| {}));
}

#[test]
fn slots_of_a_hundred_voters_and_33_traitors() {
    assert_good("100 voters", &campaign::play_all(0..20, Some(100), 1, |_| {}));
}
