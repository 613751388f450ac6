//! Cloudonix's REST API: addresses, authorisation and what its answers mean.
//!
//! <https://developers.cloudonix.com/Documentation/core-api>

use strowger_sdk::{Failure, Io, Outcome, Request, Response, join_path};

use crate::spec::Config;

pub(crate) const HOST: &str = "api.cloudonix.io";

const BASE: &str = "https://api.cloudonix.io";

/// URL of the domain, or of something below it, for example `["trunks"]`.
pub(crate) fn domain_url(config: &Config, resource: &[&str]) -> Result<String, Failure> {
    url(&["customers", "self", "domains", &config.domain], resource)
}

/// URL below `/calls/{domain}`, where calls are placed and steered.
pub(crate) fn calls_url(config: &Config, resource: &[&str]) -> Result<String, Failure> {
    url(&["calls", &config.domain], resource)
}

fn url(base: &[&str], resource: &[&str]) -> Result<String, Failure> {
    join_path(BASE, &[base, resource].concat())
}

/// Sends a request with the domain's key and gives the response, whatever its status.
pub(crate) fn send(config: &Config, request: Request, io: &mut Io) -> Outcome<Response> {
    io.http(request.bearer(&config.bearer_token))
}

/// The response if it is a success; otherwise whose fault it is. Cloudonix's own message is left out: it quotes numbers.
pub(crate) fn accept(response: Response) -> Result<Response, Failure> {
    Err(match response.status {
        200..300 => return Ok(response),
        status @ (401 | 403) => Failure::configuration(
            "credentials-refused",
            format!("Cloudonix refused the bearer token (HTTP {status}); check it, and that it may manage the domain."),
        ),
        404 => Failure::request(
            "not-found",
            "Cloudonix does not know what was asked for (HTTP 404): the call has ended, or the domain has changed; check the \
             domain in the Cloudonix Cockpit.",
        ),
        409 => Failure::request(
            "conflict",
            "Cloudonix already has something else under this name or number (HTTP 409); change one of the two.",
        ),
        429 => Failure::quota(
            "rate-limited",
            "Cloudonix takes 10 requests in 10 seconds for a domain (HTTP 429); try again in a few seconds.",
        )
        .retryable(),
        status => Failure::from_status(status),
    })
}
