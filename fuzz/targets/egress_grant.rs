//! Hosts that a component declares, networks that an operator grants, and the URLs of requests.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use strowger_server::egress::{AddressPolicy, HostGrant, IpNetwork};
use url::Url;

fuzz_target!(|input: (&str, &str)| {
    let (grant, other) = input;
    if let Ok(granted) = grant.parse::<HostGrant>() {
        let again: HostGrant = granted.to_string().parse().expect("a grant is its own spelling");
        assert_eq!(again, granted);
        let url = Url::parse(&format!(
            "{}://{}/",
            if granted.to_string().starts_with("http://") {
                "http"
            } else {
                "https"
            },
            granted.to_string().trim_start_matches("http://")
        ))
        .expect("a grant is a host");
        assert_eq!(HostGrant::of_url(&url), Ok(granted.clone()));
        // What another URL is granted by is the very same place.
        if let Ok(url) = Url::parse(other)
            && HostGrant::of_url(&url) == Ok(granted)
        {
            assert!(matches!(url.scheme(), "http" | "https"));
        }
    }
    if let Ok(network) = grant.parse::<IpNetwork>() {
        assert_eq!(network.to_string().parse::<IpNetwork>(), Ok(network));
    }
    if let Ok(address) = other.parse::<IpAddr>() {
        let policy = AddressPolicy::default();
        // A mapped address is no way around the check of the one that it stands for.
        if let IpAddr::V4(v4) = address
            && policy.check(address).is_err()
        {
            assert!(policy.check(IpAddr::V6(v4.to_ipv6_mapped())).is_err(), "{address}");
        }
    }
});
