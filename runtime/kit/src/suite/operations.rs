//! Every operation that a component has, ready to be run against any carrier with any words.

use strowger_host::operation::{Direction, Occasion, TransferState};
use strowger_host::spec::RoutePurpose;
use strowger_host::{Ability, InvokeError, RejectionReason};

use super::carrier::{Answers, Ending, Run, drive};
use super::given::{self, Words};
use super::subject::{Subject, moment};

/// One operation with its arguments.
pub(super) struct Exercise<'a> {
    /// `interface.function`, with what sets it apart from others of the same export.
    pub(super) name: String,
    /// `interface.function`.
    pub(super) export: &'static str,
    run: Box<dyn Fn(&Answers) -> Run + 'a>,
}

impl Exercise<'_> {
    pub(super) fn run(&self, answers: &Answers) -> Run {
        (self.run)(answers)
    }
}

/// All operations of a component, given these words.
pub(super) fn all<'a>(subject: &'a Subject<'a>, words: &'a Words) -> Vec<Exercise<'a>> {
    let provider = subject.provider;
    let spec = provider.spec();
    let credentials = &subject.credentials;
    let inbound = move || given::call(provider, words, Direction::Inbound);
    let outbound = move || given::call(provider, words, Direction::Outbound);
    let leg = move |state| given::leg(provider, words, state);
    let mut found: Vec<Exercise<'a>> = Vec::new();

    /// Adds an operation that every component has, or one of an ability, whose maker may fail.
    macro_rules! exercise {
        ($export:literal, $detail:expr, $operation:expr) => {{
            let detail: Option<String> = $detail;
            found.push(Exercise {
                name: detail.map_or_else(|| $export.to_owned(), |detail| format!("{} ({detail})", $export)),
                export: $export,
                run: Box::new(move |answers| drive($operation, answers)),
            });
        }};
    }
    macro_rules! ability {
        ($export:literal, $detail:expr, $operation:expr) => {{
            let detail: Option<String> = $detail;
            found.push(Exercise {
                name: detail.map_or_else(|| $export.to_owned(), |detail| format!("{} ({detail})", $export)),
                export: $export,
                run: Box::new(move |answers| match $operation {
                    Ok(operation) => drive(operation, answers),
                    Err(fault) => faulted(fault),
                }),
            });
        }};
    }

    exercise!(
        "answer.answer-markup",
        Some("announced without a webhook".to_owned()),
        provider.answer(credentials, inbound(), given::media(words), None, moment(0))
    );
    let genuine = move || given::webhook("application/json", b"{}");
    exercise!(
        "answer.answer-markup",
        Some("inbound".to_owned()),
        provider.answer(credentials, inbound(), given::media(words), Some(genuine()), moment(0))
    );
    exercise!(
        "answer.answer-markup",
        Some("outbound".to_owned()),
        provider.answer(credentials, outbound(), given::media(words), Some(genuine()), moment(0))
    );
    for reason in RejectionReason::ALL {
        exercise!(
            "answer.reject-call",
            Some(format!("{reason:?}")),
            provider.reject_call(credentials, inbound(), reason, moment(0))
        );
    }
    if provider.can(Ability::Calling) {
        ability!(
            "calling.place-call",
            None,
            provider.place_call(credentials, outbound(), given::outbound(provider, words), moment(0))
        );
        ability!(
            "calling.hang-up",
            None,
            provider.hang_up(credentials, inbound(), moment(0))
        );
        ability!(
            "calling.fetch-status",
            None,
            provider.fetch_status(credentials, inbound(), moment(0))
        );
        ability!(
            "calling.fetch-cost",
            None,
            provider.fetch_cost(credentials, inbound(), moment(0))
        );
    }
    if provider.can(Ability::Numbers) {
        let address = move || words.callee.to_owned();
        let url = move || given::urls(provider).dispatcher;
        ability!(
            "numbers.validate-number",
            None,
            provider.validate_number(credentials, address(), moment(0))
        );
        ability!(
            "numbers.provision-number",
            None,
            provider.provision_number(credentials, address(), moment(0))
        );
        for attach in [true, false] {
            ability!(
                "numbers.configure-inbound",
                Some(if attach { "attach" } else { "detach" }.to_owned()),
                provider.configure_inbound(credentials, address(), url(), attach, moment(0))
            );
        }
    }
    if provider.can(Ability::Transfer) {
        let dialing = TransferState::Dialing;
        ability!(
            "transfer.dial-destination",
            None,
            provider.dial_destination(credentials, inbound(), leg(dialing), moment(0))
        );
        let answered = TransferState::Answered;
        ability!(
            "transfer.connect",
            None,
            provider.connect_transfer(credentials, inbound(), leg(answered), moment(0))
        );
        for state in [dialing, answered, TransferState::Connected] {
            ability!(
                "transfer.cancel",
                Some(format!("{state:?}")),
                provider.cancel_transfer(credentials, inbound(), leg(state), moment(0))
            );
        }
        for route in spec
            .routes
            .iter()
            .filter(|route| route.purpose == RoutePurpose::Transfer)
        {
            for state in [dialing, answered, TransferState::Over] {
                ability!(
                    "transfer.handle-transfer-callback",
                    Some(format!("{} while {state:?}", route.name)),
                    provider.handle_transfer_callback(
                        credentials,
                        route.name.clone(),
                        inbound(),
                        leg(state),
                        genuine(),
                        moment(0)
                    )
                );
            }
        }
    }
    if provider.can(Ability::Setup) {
        for occasion in [Occasion::Create, Occasion::Update] {
            ability!(
                "setup.prepare-credentials",
                Some(format!("{occasion:?}")),
                provider.prepare_credentials(credentials, given::saving(provider, occasion), moment(0))
            );
        }
    }
    if provider.can(Ability::Trunks) {
        ability!(
            "trunks.apply-trunk",
            None,
            provider.apply_trunk(credentials, given::trunk(provider), moment(0))
        );
        ability!(
            "trunks.remove-trunk",
            None,
            provider.remove_trunk(credentials, given::trunk(provider), moment(0))
        );
    }
    for route in callback_routes(subject) {
        exercise!(
            "webhook.handle-callback",
            Some(route.clone()),
            provider.handle_callback(credentials, route.clone(), inbound(), genuine(), moment(0))
        );
    }
    found
}

/// The routes that `handle-callback` is called for.
pub(super) fn callback_routes(subject: &Subject<'_>) -> Vec<String> {
    let routes = subject.provider.spec().routes.iter();
    std::iter::once("inbound".to_owned())
        .chain(
            routes
                .filter(|route| route.purpose != RoutePurpose::Transfer)
                .map(|route| route.name.clone()),
        )
        .collect()
}

fn faulted(fault: InvokeError) -> Run {
    Run {
        requests: Vec::new(),
        ending: Ending::Fault(fault),
    }
}
