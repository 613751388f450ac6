//! Two writers at once, on every resource where the second must notice the first. They use stores of their own on one
//! database, as two gateways would.

use std::future::Future;

use serde_json::json;
use strowger_call::Address;
use tokio::task::JoinSet;

use super::calls::tests::new_call;
use super::testing::{self, KEY, TestStore, new_configuration, new_number};
use super::*;
use crate::admission::{CallLimits, GatewayId};

/// How often each race is run.
const ROUNDS: usize = 8;

async fn two() -> (TestStore, Store) {
    let one = testing::open().await;
    let other = one.again(KEY).await.unwrap();
    (one, other)
}

/// What came of writing, however long the database was busy.
macro_rules! patiently {
    ($write:expr) => {
        loop {
            match $write.await {
                Err(StoreError::Locked) => tokio::task::yield_now().await,
                written => break written,
            }
        }
    };
}

/// Runs them at once; how many succeeded, and why the others did not.
async fn at_once<T: Send + 'static>(
    writers: Vec<impl Future<Output = Result<T, StoreError>> + Send + 'static>,
) -> (Vec<T>, Vec<StoreError>) {
    let mut running = JoinSet::new();
    for writer in writers {
        running.spawn(writer);
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for written in running.join_all().await {
        match written {
            Ok(value) => done.push(value),
            Err(error) => failed.push(error),
        }
    }
    (done, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_organizations_that_add_one_number_of_one_account_one_gets_it() {
    let (one, other) = two().await;
    for round in 0..ROUNDS {
        let address = format!("+1415555{round:04}");
        let mut writers = Vec::new();
        for number in 0..6 {
            let organization = one.organization(&format!("Organization {round}.{number}")).await;
            let configuration = one.configuration(&organization, "main", Some("SHARED")).await;
            let store = if number % 2 == 0 {
                one.store.clone()
            } else {
                other.clone()
            };
            let new = new_number(&configuration, &address, None);
            writers.push(async move { patiently!(store.create_number(new.clone(), 2)) });
        }
        let (made, refused) = at_once(writers).await;
        assert_eq!(made.len(), 1);
        for error in &refused {
            let StoreError::Conflict { field: "address", cure } = error else {
                panic!("{error:?}")
            };
            assert!(
                cure.contains("another organization") && !cure.contains("Organization"),
                "{cure}"
            );
        }
        let account = AccountId::new("SHARED");
        let callee = Address::parse(&address, None).unwrap();
        let route = other.find_route("testphone", Some(&account), &callee).await.unwrap();
        assert_eq!(route.unwrap().number, made[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_id_and_a_number_do_not_meet_on_one_route() {
    let (one, other) = two().await;
    for round in 0..ROUNDS {
        let (mine, theirs) = (
            one.organization(&format!("Mine {round}")).await,
            one.organization(&format!("Theirs {round}")).await,
        );
        let address = format!("+1415556{round:04}");
        let moving = one.configuration(&mine, "main", Some("FROM")).await;
        one.number(&moving, &address, None).await;
        let staying = one.configuration(&theirs, "main", Some("ONTO")).await;
        let move_over = {
            let (store, moving) = (one.store.clone(), moving.clone());
            async move {
                let onto = || ConfigurationChange {
                    name: None,
                    credentials: Some((
                        SecretJson::new(json!({ "account": "ONTO" })),
                        Some(AccountId::new("ONTO")),
                    )),
                };
                patiently!(store.update_configuration(&moving.organization, &moving.id, onto(), None, 3)).is_ok()
            }
        };
        let add = {
            let (store, new) = (other.clone(), new_number(&staying, &address, None));
            async move { patiently!(store.create_number(new.clone(), 3)).is_ok() }
        };
        let (moved, added) = tokio::join!(tokio::spawn(move_over), tokio::spawn(add));
        let (moved, added) = (moved.unwrap(), added.unwrap());
        assert!(moved != added, "moved: {moved}, added: {added}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_default_is_left_of_many_that_are_set_at_once() {
    let (one, other) = two().await;
    let acme = one.organization("Acme").await;
    let mut configurations = Vec::new();
    for number in 0..6 {
        configurations.push(
            one.configuration(&acme, &format!("main {number}"), Some(&format!("A{number}")))
                .await,
        );
    }
    let mut numbers = Vec::new();
    for number in 0..6 {
        numbers.push(
            one.number(&configurations[0], &format!("+1415555000{number}"), None)
                .await,
        );
    }
    for round in 0..ROUNDS {
        let writers = (0..6).map(|at| {
            let store = if at % 2 == 0 { one.store.clone() } else { other.clone() };
            let (configuration, number) = (configurations[at].clone(), numbers[at].clone());
            let (acme, now) = (acme.clone(), i64::try_from(round).unwrap());
            let mut new = new_configuration(&acme, &format!("default {round}.{at}"), None);
            new.is_default_outbound = true;
            async move {
                patiently!(store.set_default_outbound(&acme, &configuration.id, now))?;
                let owner = &number.configuration;
                patiently!(store.set_default_caller(&acme, owner, &number.id, now))?;
                patiently!(store.create_configuration(new.clone(), now))
            }
        });
        let (done, failed) = at_once(writers.collect()).await;
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(done.len(), 6);
        let all = one.configurations(&acme).await.unwrap();
        assert_eq!(all.iter().filter(|one| one.is_default_outbound).count(), 1);
        let all = one.numbers(&acme, &configurations[0].id).await.unwrap();
        assert_eq!(all.iter().filter(|one| one.is_default_caller_id).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_trunks_of_one_name_one_is_made() {
    let (one, other) = two().await;
    let acme = one.organization("Acme").await;
    let configuration = one.configuration(&acme, "main", Some("A1")).await;
    let writers = (0..6).map(|at| {
        let store = if at % 2 == 0 { one.store.clone() } else { other.clone() };
        let new = NewTrunk {
            id: TrunkId::generate(),
            organization: acme.clone(),
            configuration: configuration.id.clone(),
            content: TrunkContent {
                name: "east".to_owned(),
                enabled: true,
                settings: json!({}),
                external_id: None,
            },
        };
        async move { patiently!(store.create_trunk(new.clone(), 2)) }
    });
    let (made, refused) = at_once(writers.collect()).await;
    assert_eq!(made.len(), 1);
    assert!(
        refused
            .iter()
            .all(|error| matches!(error, StoreError::Conflict { field: "name", .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_never_has_an_agent_that_is_gone() {
    let (one, other) = two().await;
    let acme = one.organization("Acme").await;
    let configuration = one.configuration(&acme, "main", Some("A1")).await;
    for round in 0..ROUNDS {
        let agent = one.agent(&acme, &format!("bot {round}")).await;
        let new = new_number(&configuration, &format!("+1415555{round:04}"), Some(&agent.id));
        let delete = {
            let (store, acme, id) = (one.store.clone(), acme.clone(), agent.id.clone());
            async move { patiently!(store.delete_agent(&acme, &id, None)) }
        };
        let add = {
            let (store, new) = (other.clone(), new.clone());
            async move { patiently!(store.create_number(new.clone(), 2)) }
        };
        let (deleted, added) = tokio::join!(tokio::spawn(delete), tokio::spawn(add));
        match added.unwrap() {
            // The number was first: it has lost its agent, or its agent is the reason why that stays.
            Ok(number) => {
                let number = one.find_number(&acme, &configuration.id, &number.id).await.unwrap();
                assert_eq!(number.agent.is_none(), deleted.unwrap().is_ok());
            }
            Err(error) => assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_deleted_or_a_call_starts_over_it_and_not_both() {
    let (one, other) = two().await;
    let acme = one.organization("Acme").await;
    for round in 0..ROUNDS {
        let configuration = one.configuration(&acme, &format!("main {round}"), Some("A1")).await;
        let call = new_call(&configuration, Some("CALL-1"));
        let delete = {
            let (store, configuration) = (one.store.clone(), configuration.clone());
            async move { patiently!(store.delete_configuration(&configuration.organization, &configuration.id, None)) }
        };
        let start = {
            let store = other.clone();
            async move {
                let (limits, gateway) = (CallLimits::default(), GatewayId::generate().unwrap());
                let terms = Terms {
                    limits: &limits,
                    gateway: &gateway,
                };
                patiently!(store.admit_inbound_call(&call, terms, 1_000 * i64::try_from(round).unwrap()))
            }
        };
        let (deleted, started) = tokio::join!(tokio::spawn(delete), tokio::spawn(start));
        match (deleted.unwrap(), started.unwrap()) {
            (Ok(()), Err(StoreError::NotFound { .. })) | (Err(StoreError::Conflict { .. }), Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}
