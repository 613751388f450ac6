//! Components made at random: whatever they do, the oracle's conditions hold and the neighbour works on.
//!
//! The fuzz target `hostile_component` goes on where this ends.

use std::panic::catch_unwind;

use strowger_hostile::generator;
use strowger_hostile::oracle::{Came, judge};
use strowger_tests::engine;

use crate::neighbour::neighbour;

const SEEDS: u64 = 200;
/// As much as one component takes in.
const ENTROPY_BYTES: u64 = 2_048;

/// SplitMix64 (Steele, Lea, Flood 2014): the same components in every run.
fn entropy(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    // Most seeds leave most bytes zero: a few faults each, so that one does not hide the next.
    let rate = 1 + seed % 8;
    (0..ENTROPY_BYTES)
        .map(|_| {
            let value = next();
            if value % 16 < rate * 2 {
                value.to_le_bytes()[7]
            } else {
                0
            }
        })
        .collect()
}

#[test]
fn zeros_make_an_honest_component() {
    match judge(engine(), &generator::component(&[])) {
        Came::Called { invocations, faults } => assert!(invocations > 20 && faults == 0, "{faults} of {invocations}"),
        Came::Refused => panic!("it is refused"),
    }
}

#[test]
fn no_random_component_harms_its_neighbour() {
    let (mut refused, mut invoked, mut faulted) = (0_usize, 0, 0);
    for seed in 0..SEEDS {
        let judged = catch_unwind(|| judge(engine(), &generator::component(&entropy(seed))));
        match judged {
            Ok(Came::Refused) => refused += 1,
            Ok(Came::Called { invocations, faults }) => {
                invoked += invocations;
                faulted += faults;
            }
            Err(_) => panic!("seed {seed}: see above"),
        }
        if seed % 16 == 0 {
            neighbour();
        }
    }
    neighbour();
    // A generator whose components are all honest, or all refused, would show nothing.
    assert!(
        refused < 150 && faulted > 300 && invoked - faulted > 300,
        "{refused} refused; {faulted} faults in {invoked} invocations"
    );
}
