//! Signatures of component files, and the keys of those who made them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strowger_server::signature::{TrustedSigner, check};

/// Of minisign's own documentation.
const SIGNER: &str = "frank=RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

fuzz_target!(|input: (&str, &[u8], &[u8])| {
    let (signer, file, signature) = input;
    let frank: TrustedSigner = SIGNER.parse().expect("the key is right");
    let signers = [frank];
    // Nobody guesses one.
    assert!(check(&signers, true, file, Some(signature)).is_err());
    // A key that somebody chooses may be so weak that much holds; it is read, and that is all.
    let _ = signer.parse::<TrustedSigner>();
});
