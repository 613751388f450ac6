//! Functions that say something about a configuration and ask for nothing.

use strowger_host::Ability;
use strowger_host::operation::Facts;

use super::given;
use super::problems::Problems;
use super::subject::{Subject, moment};
use crate::report::Outcome;

pub(super) fn check(subject: &Subject<'_>) -> Outcome {
    let provider = subject.provider;
    let credentials = &subject.credentials;
    if !provider.can(Ability::Setup) && !provider.can(Ability::Detection) {
        return Outcome::Skipped("the component exports neither `setup` nor `detection`".to_owned());
    }
    let mut problems = Problems::default();
    let none = Facts {
        active_numbers: 0,
        inbound_numbers: 0,
        enabled_trunks: 0,
        numbers_without_trunk: 0,
    };
    let most = Facts {
        active_numbers: u32::MAX,
        inbound_numbers: u32::MAX,
        enabled_trunks: u32::MAX,
        numbers_without_trunk: u32::MAX,
    };
    for (facts, what) in [
        (none, "nothing yet"),
        (given::facts(), "one of each"),
        (most, "more than anybody has"),
    ] {
        if let Err(fault) = provider.checklist(credentials, facts, &moment(0)) {
            problems.fault("setup.checklist", &format!("with {what}"), &fault);
        }
    }
    if let Err(fault) = provider.connectivity_details(credentials, &given::urls(provider), &moment(0)) {
        problems.fault("setup.connectivity-details", "of this gateway", &fault);
    }
    if let Err(fault) = provider.detection_modes(credentials, &moment(0)) {
        problems.fault("detection.detection-modes", "of this configuration", &fault);
    }
    problems.outcome()
}
