//! The suite with a real Asterisk as the carrier and sipp as the telephones.
//!
//! It needs what `tests/asterisk/fetch` brings, whose folder `STROWGER_ASTERISK` names: `./just asterisk` does all of it. Without
//! that it says so, and counts every story as ignored. `site` is an Asterisk of a test's own, `telephone` a telephone,
//! `installation` a gateway between that Asterisk and an agent; the other modules are the stories.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "all of it is tests")]

mod crowd;
#[path = "../all/harness.rs"]
#[allow(dead_code, reason = "it is made for simulated carriers as well")]
mod harness;
mod inbound;
mod installation;
mod outages;
mod outbound;
mod site;
mod telephone;
mod transfers;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Names the folder in which Asterisk and sipp were unpacked.
const ROOT_VARIABLE: &str = "STROWGER_ASTERISK";

macro_rules! stories {
    ($($topic:ident::$story:ident,)*) => {
        vec![$(Trial::test(concat!(stringify!($topic), "::", stringify!($story)), || play($topic::$story()))),*]
    };
}

fn main() -> ExitCode {
    let stories = stories![
        inbound::telephones_work,
        inbound::a_conversation,
        inbound::a_conversation_in_a_law,
        inbound::a_conversation_in_linear_samples_and_json,
        inbound::a_caller_hangs_up,
        inbound::callers_who_give_up_at_once_leave_nothing_behind,
        inbound::calls_that_cannot_be_taken_are_refused,
        inbound::a_media_socket_that_cannot_be_opened_ends_the_call,
        outbound::somebody_answers,
        outbound::somebody_answers_and_hangs_up,
        outbound::nobody_answers,
        outbound::a_call_is_withdrawn_while_it_rings,
        transfers::a_caller_is_connected_with_somebody_else,
        transfers::the_end_of_the_caller_ends_the_second_leg,
        transfers::a_busy_destination_leaves_the_caller_with_the_agent,
        crowd::twenty_calls_at_once,
        outages::asterisk_is_killed_and_comes_back,
        outages::a_hand_over_ends_with_asterisk,
        outages::another_subscriber_takes_the_application,
        outages::a_wrong_password_is_told_and_can_be_put_right,
    ];
    let absent = std::env::var_os(ROOT_VARIABLE).is_none();
    if absent {
        eprintln!(
            "SKIPPED: {ROOT_VARIABLE} names no Asterisk; `./just asterisk` fetches one and plays these stories with it"
        );
    }
    let log = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into());
    tracing_subscriber::fmt()
        .with_env_filter(log.from_env_lossy())
        .with_writer(std::io::stderr)
        .init();
    let stories = stories
        .into_iter()
        .map(|story| story.with_ignored_flag(absent))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), stories).exit_code()
}

fn play(story: impl Future<Output = ()>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(story);
    Ok(())
}
