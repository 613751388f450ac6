//! What a request needs, decided by its method and the route that it matched: here, and nowhere else.
//!
//! What is not listed is safe: reading needs the role `read`, anything else the role `admin`.

use axum::http::Method;

use crate::store::{Power, Role};

/// The prefix of everything that only the operator's keys open.
pub(in crate::api) const OPERATOR: &str = "/api/v1/operator/";
/// Signing in to the console, looking who is signed in, and signing out.
pub(in crate::api) const SESSION: &str = "/api/v1/session";

/// What is the same for everybody, and says nothing about anybody.
const OPEN: [&str; 2] = ["/api/v1/openapi.json", "/api/v1/docs"];

/// Who may send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Need {
    /// Everybody. The handler decides.
    Nothing,
    /// A key or session of an organisation, with this role at least.
    Role(Role),
    /// A key of the operator.
    Operator,
}

/// What does not follow from the method.
const EXCEPTIONS: &[(&str, &str, Role)] = &[
    ("POST", "/api/v1/telephony/initiate-call", Role::Operate),
    ("POST", "/api/v1/calls/{call}/hang-up", Role::Operate),
    ("POST", "/api/v1/calls/{call}/transfer", Role::Operate),
    ("DELETE", "/api/v1/calls/{call}/transfer", Role::Operate),
    (
        "POST",
        "/api/v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/resend",
        Role::Operate,
    ),
    (
        "POST",
        "/api/v1/webhook-endpoints/{endpoint}/resend-dead",
        Role::Operate,
    ),
    // Whoever is signed in may sign out.
    ("DELETE", SESSION, Role::Read),
    // Who has which power, and who did what, is for those who decide about it.
    ("GET", "/api/v1/api-keys", Role::Admin),
    ("GET", "/api/v1/audit-log", Role::Admin),
    ("GET", "/api/v1/audit-log/export", Role::Admin),
];

/// Changes nothing, as far as HTTP is concerned.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What a request of this method to this route needs.
pub(in crate::api) fn need(method: &Method, route: &str) -> Need {
    if route.starts_with(OPERATOR) {
        return Need::Operator;
    }
    if (route == SESSION && *method == Method::POST) || (OPEN.contains(&route) && is_safe(method)) {
        return Need::Nothing;
    }
    let like = if *method == Method::HEAD {
        Method::GET
    } else {
        method.clone()
    };
    let exception = EXCEPTIONS
        .iter()
        .find(|(method, path, _)| *method == like.as_str() && *path == route);
    Need::Role(match exception {
        Some((_, _, role)) => *role,
        None if is_safe(method) => Role::Read,
        None => Role::Admin,
    })
}

/// Whether a component comes with the request, which is not read before its handler wants it.
pub(super) fn takes_component(method: &Method, route: &str) -> bool {
    *method == Method::POST
        && [
            "/api/v1/organizations/telephony-providers",
            "/api/v1/operator/telephony-providers",
        ]
        .contains(&route)
}

impl Need {
    /// Whether somebody with this power may.
    pub(in crate::api) fn is_met_by(self, power: &Power) -> bool {
        match (self, power) {
            (Self::Nothing, _) | (Self::Operator, Power::Operator) => true,
            (Self::Role(needed), Power::Organization(_, role)) => *role >= needed,
            (Self::Operator, Power::Organization(..)) | (Self::Role(_), Power::Operator) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_safe() {
        for (method, route, role) in [
            (Method::GET, "/api/v1/whatever", Role::Read),
            (Method::HEAD, "/api/v1/whatever", Role::Read),
            (Method::POST, "/api/v1/whatever", Role::Admin),
            (Method::PATCH, "/api/v1/calls/{call}/hang-up", Role::Admin),
            (Method::OPTIONS, "/api/v1/calls", Role::Admin),
            (Method::HEAD, "/api/v1/audit-log", Role::Admin),
            (Method::POST, "/api/v1/calls/{call}/hang-up", Role::Operate),
            (Method::POST, "/api/v1/operator", Role::Admin),
        ] {
            assert_eq!(need(&method, route), Need::Role(role), "{method} {route}");
        }
        assert_eq!(need(&Method::GET, "/api/v1/operator/anything"), Need::Operator);
        assert_eq!(need(&Method::POST, SESSION), Need::Nothing);
        assert_eq!(need(&Method::GET, SESSION), Need::Role(Role::Read));
    }
}
