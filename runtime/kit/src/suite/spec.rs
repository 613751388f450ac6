//! Whether the spec makes sense. That it keeps the contract's bounds was checked when it was loaded.

use strowger_host::spec::{FieldType, ProofPolicy, RoutePurpose};
use strowger_host::{Ability, Provider};

use crate::report::Problem;

pub(super) fn check(provider: &Provider) -> Vec<Problem> {
    let spec = provider.spec();
    let mut problems = Vec::new();
    let mut problem = |what: String, why: &str, mend: &str| {
        problems.push(Problem {
            what,
            why: why.to_owned(),
            mend: mend.to_owned(),
        });
    };
    for field in &spec.fields {
        if field.kind == FieldType::Password && !spec.is_sealed(&field.name) {
            problem(
                format!("spec.fields: `{}` is a password and not sealed", field.name),
                "the component would see it in the clear, and the API would show it",
                "set `sensitive` on the field, and do not make it the account-id field",
            );
        }
        if field.required && field.kind == FieldType::Readonly {
            problem(
                format!("spec.fields: `{}` is required and read-only", field.name),
                "nobody can enter it, so no configuration could ever be saved",
                "make it optional, or of another type",
            );
        }
        if field.required && field.server_managed {
            problem(
                format!("spec.fields: `{}` is required and managed by the server", field.name),
                "no user can enter it, so no configuration could ever be saved",
                "make it optional: `setup.prepare-credentials` fills it in",
            );
        }
        if field.server_managed && !provider.can(Ability::Setup) {
            problem(
                format!(
                    "spec.fields: `{}` is managed by the server, but nothing manages it",
                    field.name
                ),
                "only `setup.prepare-credentials` can set such a field",
                "export `setup`, or let the user enter the field",
            );
        }
    }
    if spec.webhook_proof == ProofPolicy::NoWebhooks {
        if !spec.routes.is_empty() {
            problem(
                format!(
                    "spec.routes: {} routes, but the spec says `no-webhooks`",
                    spec.routes.len()
                ),
                "whatever arrives there is refused",
                "remove the routes, or say that a proof is `required` and describe one",
            );
        }
        if !provider.can(Ability::Events) {
            problem(
                "spec.webhook-proof: `no-webhooks`, and the component does not export `events`".to_owned(),
                "no call could ever reach the gateway",
                "say that a proof is `required` and describe one, or export `events`",
            );
        }
    }
    if spec.webhook_proof == ProofPolicy::Required && !spec.fields.iter().any(|field| field.sensitive || field.required)
    {
        problem(
            "spec.fields: none is sensitive or required, but webhooks need a proof".to_owned(),
            "a proof needs a secret, or a public key of the carrier's, that belongs to this configuration",
            "add the field that holds what the carrier signs with",
        );
    }
    let has = |purpose: RoutePurpose| spec.routes.iter().any(|route| route.purpose == purpose);
    if provider.can(Ability::Transfer) && !has(RoutePurpose::Transfer) && !provider.can(Ability::Events) {
        problem(
            "spec.routes: none has the purpose `transfer`, but the component exports `transfer`".to_owned(),
            "nobody would ever hear whether the destination answered",
            "add a route of purpose `transfer` and give its URL to the carrier when the destination is dialled",
        );
    }
    problems
}
