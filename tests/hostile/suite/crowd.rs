//! Many at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use strowger_host::operation::Placed;
use strowger_host::{Effect, Engine, EngineOptions, Moment, Operation, Provider, Reply, Step};
use strowger_hostile::Guest;
use strowger_hostile::component::{ZEROS_AT, word};
use strowger_tests::credentials;

use crate::fixtures::{call, load, outbound, recognised};
use crate::neighbour::neighbour;

/// The clock of deadlines is a thread of its own: it ticks when everybody else is busy spinning.
#[test]
fn while_every_worker_spins_deadlines_hold() {
    let spinner = load(&Guest::loadable().body("webhook#recognise", "(loop $again (br $again)) unreachable"));
    let workers = 4 * thread::available_parallelism().map_or(2, usize::from);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let spinning: Vec<_> = (0..workers)
            .map(|_| scope.spawn(|| (0..3).map(|_| recognised(&spinner)).collect::<Vec<_>>()))
            .collect();
        let honest = scope.spawn(|| {
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                neighbour();
                times += 1;
            }
            times
        });
        for worker in spinning {
            assert_eq!(worker.join().unwrap(), ["deadline"; 3]);
        }
        over.store(true, Ordering::Relaxed);
        assert!(honest.join().unwrap() > 0, "the neighbour had its turn");
    });
}

/// One that asks for a kept value, and then for another, and so on.
fn asks_for_ever(engine: &Engine) -> Provider {
    const KEY_AT: u32 = 8400;
    // result: the error; interruption: perform; effect: the second case, a text.
    let asks = format!(
        "\\01\\00\\00\\00\\00\\00\\00\\00\\01\\00\\00\\00{}{}",
        word(KEY_AT),
        word(1)
    );
    let guest = Guest::loadable()
        .with_everything()
        .data_at(KEY_AT, "k")
        .data_at(8320, &asks)
        .body("trunks#trunk-fields", &format!("(i32.const {ZEROS_AT})"))
        .body("calling#place-call", "(i32.const 8320)");
    Provider::load(engine, &guest.build()).unwrap_or_else(|error| panic!("it loads: {error}"))
}

fn place(provider: &Provider) -> Operation<Placed> {
    let credentials = credentials(provider, &json!({}));
    provider
        .place_call(&credentials, call(), outbound(), Moment::at(1))
        .unwrap()
}

/// The host's calls into a guest cannot be cancelled, for nothing waits while one runs; what can be is the operation between
/// two of them. One slot serves it all.
#[test]
fn an_operation_may_be_dropped_at_any_step() {
    const TIMES: usize = 4_000;
    let engine = Engine::new(EngineOptions {
        instances_max: 1,
        ..EngineOptions::default()
    })
    .unwrap();
    let provider = asks_for_ever(&engine);
    for time in 0..TIMES {
        let mut operation = place(&provider);
        for _ in 0..time % 4 {
            match operation.step() {
                Ok(Step::Perform(Effect::Load { .. })) => operation.reply(Reply::Value(None)),
                other => panic!("{other:?}"),
            }
        }
    }
    let mut last = place(&provider);
    assert!(matches!(last.step(), Ok(Step::Perform(Effect::Load { .. }))));
    neighbour();
}
