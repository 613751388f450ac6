//! A guest that looks for secrets in all of its own memory. Whatever the host has put there it sees: arguments, configuration,
//! replies.

use serde_json::json;
use strowger_host::{
    Credentials, Effect, IncomingResponse, MediaFrame, Message, Moment, Provider, Reply, Step, Verdict,
};
use strowger_hostile::search;
use strowger_tests::credentials;

use crate::fixtures::{call, code, load, outbound, webhook};
use crate::neighbour::neighbour;

/// With every character that one of the spellings changes.
const SECRET: &str = "S3cr3t/ü+\"hush&=~4711";
const PLAIN: &str = "not-a-secret-0815";

fn configured(provider: &Provider) -> Credentials {
    credentials(provider, &json!({ "secret": SECRET, "plain": PLAIN }))
}

#[test]
fn the_search_finds_what_is_there() {
    let provider = load(&search::guest(&[PLAIN.to_owned()]));
    let error = provider
        .check_credentials(&configured(&provider), &Moment::at(1))
        .unwrap_err();
    assert_eq!(code(&error), "trap", "{error}");
}

#[test]
fn no_secret_is_anywhere_in_a_guests_memory() {
    let texts = search::spellings(SECRET);
    assert!(texts.len() >= 9, "{texts:?}");
    let provider = load(&search::guest(&texts));
    let credentials = configured(&provider);
    assert_eq!(provider.check_credentials(&credentials, &Moment::at(1)), Ok(()));
    let verdict = provider.verify(&credentials, &webhook(100), &Moment::at(1));
    assert!(matches!(verdict, Ok(Verdict::Refused(_))), "{verdict:?}");
    let mut leg = provider.open_leg(&credentials, call(), Moment::at(1)).unwrap();
    leg.deserialize(Message::Text("start".to_owned())).unwrap();
    leg.serialize(&MediaFrame::Clear).unwrap().unwrap();

    let mut operation = provider
        .place_call(&credentials, call(), outbound(), Moment::at(1))
        .unwrap();
    // A carrier that returns what it was sent, in every spelling, in its body and its headers.
    for text in &texts {
        match operation.step().unwrap() {
            Step::Perform(Effect::Http(request)) => {
                let (name, value) = request.headers.last().unwrap();
                assert_eq!(name, "authorization");
                assert!(value.expose().contains("S3cr3t/"), "the carrier hears the secret");
            }
            other => panic!("{other:?}"),
        }
        operation.reply(Reply::Http(IncomingResponse {
            status: 200,
            headers: vec![("x-echo".to_owned(), text.as_bytes().to_vec())],
            body: format!("<{text}> and {}", texts.join(" ")).into_bytes(),
        }));
    }
    operation.step().unwrap();
    neighbour();
}
