//! Dial strings: `PJSIP/6001`, `PJSIP/+12025550188@trunk`, `PJSIP/trunk/sip:desk@example.com`.

use strowger_sdk::{Failure, is_sip_uri};

/// Stands for the number in a dial string.
pub(crate) const NUMBER: &str = "{number}";

/// What a configuration without a dial string uses.
pub(crate) const DEFAULT: &str = "PJSIP/{number}";

/// Whether a configured dial string has a technology, the number, and nothing that dials more than one.
pub(crate) fn is_dial_string(text: &str) -> bool {
    let Some((technology, resource)) = text.split_once('/') else {
        return false;
    };
    !technology.is_empty()
        && technology.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && resource.matches(NUMBER).count() == 1
        && is_plain(resource)
}

/// The endpoint for an address. Whoever names a SIP endpoint themselves gets that one; other technologies are left to the
/// configuration, because a `Local/` channel could run any part of the dialplan.
pub(crate) fn dial_string(template: &str, address: &str) -> Result<String, Failure> {
    if is_sip_uri(address) {
        return uri(template, address);
    }
    if let Some((technology, resource)) = address.split_once('/')
        && (technology.eq_ignore_ascii_case("PJSIP") || technology.eq_ignore_ascii_case("SIP"))
        && !resource.is_empty()
        && is_plain(resource)
    {
        return Ok(format!("{}/{resource}", technology.to_ascii_uppercase()));
    }
    let dialable = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'*' | b'#' | b'.' | b'_' | b'-');
    if address.is_empty() || !address.bytes().all(dialable) {
        return Err(unusable(
            "Asterisk is asked to dial a number, an extension, a SIP URI or a PJSIP/ endpoint, and this is none.",
        ));
    }
    Ok(template.replace(NUMBER, address))
}

/// PJSIP dials a URI through an endpoint, which the configured dial string names after its `@`.
fn uri(template: &str, address: &str) -> Result<String, Failure> {
    let endpoint = template
        .strip_prefix("PJSIP/{number}@")
        .filter(|endpoint| !endpoint.is_empty())
        .ok_or_else(|| unusable("A SIP URI is dialled through a trunk; name it in the Outbound Dial String."))?;
    if is_plain(address) {
        Ok(format!("PJSIP/{endpoint}/{address}"))
    } else {
        Err(unusable("The SIP URI has characters that a dial string cannot have."))
    }
}

/// `&` and `,` separate destinations and arguments in Asterisk.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'&' | b',' | b'|' | b'"' | b'\\'))
}

fn unusable(why: &str) -> Failure {
    Failure::request("callee-invalid", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_its_place() {
        let trunk = "PJSIP/{number}@trunk";
        for (template, address, expected) in [
            (DEFAULT, "6001", "PJSIP/6001"),
            (trunk, "+12025550188", "PJSIP/+12025550188@trunk"),
            ("DAHDI/g1/{number}", "lobby", "DAHDI/g1/lobby"),
            (trunk, "pjsip/6001", "PJSIP/6001"),
            (DEFAULT, "SIP/peer/6001", "SIP/peer/6001"),
            (DEFAULT, "PJSIP/trunk/sip:a@b.example", "PJSIP/trunk/sip:a@b.example"),
            (trunk, "sip:desk@example.com", "PJSIP/trunk/sip:desk@example.com"),
        ] {
            assert_eq!(dial_string(template, address).unwrap(), expected);
        }
    }

    #[test]
    fn nobody_dials_more_than_one() {
        for address in [
            "",
            "6001&PJSIP/6002",
            "6001,Local",
            "Local/900@internal",
            "PJSIP/6001&PJSIP/6002",
            "PJSIP/",
            "6001 6002",
            "6001@trunk",
            "60\n01",
            "sip:a@b&c",
        ] {
            assert_eq!(
                dial_string("PJSIP/{number}@trunk", address).unwrap_err().code,
                "callee-invalid",
                "{address}"
            );
        }
        assert_eq!(dial_string(DEFAULT, "sip:a@b").unwrap_err().code, "callee-invalid");
    }

    #[test]
    fn a_configured_dial_string_has_the_number_once() {
        assert!(is_dial_string(DEFAULT));
        assert!(is_dial_string("PJSIP/{number}@my-trunk"));
        for text in [
            "",
            "PJSIP",
            "{number}",
            "PJSIP/6001",
            "PJSIP/{number}&SIP/{number}",
            "/{number}",
            "PJSIP/{number} x",
        ] {
            assert!(!is_dial_string(text), "{text}");
        }
    }
}
