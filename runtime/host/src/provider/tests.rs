use serde_json::{Value, json};

use super::*;
use crate::spec::tests::honest;

fn sealed(moment: &Moment) -> (Vault, Value) {
    let spec = ProviderSpec::try_from(honest()).unwrap();
    let entered = json!({ "account_id": "A1", "auth_token": "hush-hush", "edge": "eu" });
    let (vault, sealed) = seal(&Credentials::check(&spec, &entered).unwrap(), moment);
    assert!(!sealed.contains("hush-hush"), "the guest sees no secret");
    (vault, serde_json::from_str(&sealed).unwrap())
}

#[test]
fn a_guest_sees_settings_and_references() {
    let (vault, seen) = sealed(&Moment::at(1));
    assert_eq!((&seen["account_id"], &seen["edge"]), (&json!("A1"), &json!("eu")));
    let token = seen["auth_token"].as_str().unwrap();
    assert_eq!(vault.open(token).map(crate::Secret::expose), Some("hush-hush"));
}

#[test]
fn references_are_fresh_for_every_operation_and_stable_within_it() {
    let (first, second) = (Moment::at(1), Moment::at(1));
    let token = |moment: &Moment| sealed(moment).1["auth_token"].clone();
    assert_eq!(token(&first), token(&first));
    assert_ne!(token(&first), token(&second));
    let (vault, _) = sealed(&first);
    assert!(vault.open(token(&second).as_str().unwrap()).is_none());
}
