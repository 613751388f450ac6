//! Components that break the rules of the canonical ABI, loaded and called; and an honest one beside them.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use strowger_host::{Engine, EngineOptions};
use strowger_hostile::generator;
use strowger_hostile::oracle::{Came, judge};

fuzz_target!(|bytes: &[u8]| {
    static ENGINE: OnceLock<(Engine, Vec<u8>)> = OnceLock::new();
    let (engine, honest) = ENGINE.get_or_init(|| {
        let options = EngineOptions {
            instances_max: 8,
            ..EngineOptions::default()
        };
        (
            Engine::new(options).expect("an engine starts"),
            generator::component(&[]),
        )
    });
    let _ = judge(engine, &generator::component(bytes));
    // The neighbour is loaded anew once in a while: compiling it takes as long as all the rest.
    if bytes.first().is_some_and(|byte| byte % 16 == 0) {
        let came = judge(engine, honest);
        assert!(
            matches!(came, Came::Called { faults: 0, .. }),
            "the neighbour suffers: {came:?}"
        );
    }
});
