use super::*;
use crate::sealed::Secret;

const MESSAGE: &[u8] = b"what do ya want for nothing?";

struct Bench {
    vault: Vault,
}

impl Bench {
    fn new() -> Self {
        Self {
            vault: Vault::new([3; 16]),
        }
    }

    fn key(&mut self, secret: &str, encoding: wit::KeyEncoding) -> wit::SealedKey {
        wit::SealedKey {
            reference: self.vault.seal(Secret::new(secret)),
            encoding,
        }
    }

    fn verdict(&self, checks: Vec<wit::Check>) -> Result<Verdict, String> {
        evaluate(
            &self.vault,
            Ok(vec![wit::Proof {
                label: "only".to_owned(),
                checks,
            }]),
        )
    }

    #[track_caller]
    fn holds(&self, check: wit::Check) -> bool {
        match self.verdict(vec![check]).unwrap() {
            Verdict::Genuine { .. } => true,
            Verdict::Refused(Refusal::NotProved(failed)) => {
                assert_eq!(failed.len(), 1);
                false
            }
            Verdict::Refused(other) => panic!("{other:?}"),
        }
    }
}

fn bytes(message: &[u8]) -> Vec<wit::Segment> {
    vec![wit::Segment::Bytes(message.to_vec())]
}

fn hmac(hash: wit::Hash, key: wit::SealedKey, message: Vec<wit::Segment>, expected: &str) -> wit::Check {
    wit::Check::Hmac(wit::HmacCheck {
        hash,
        key,
        message,
        expected: hex::decode(expected).unwrap(),
    })
}

fn jefe(bench: &mut Bench) -> wit::Check {
    hmac(
        wit::Hash::Sha1,
        bench.key("Jefe", wit::KeyEncoding::Utf8),
        bytes(MESSAGE),
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    )
}

fn refusal(verdict: Verdict) -> Vec<FailedProof> {
    match verdict {
        Verdict::Refused(Refusal::NotProved(failed)) => failed,
        other => panic!("{other:?}"),
    }
}

/// RFC 2202 §3 case 2 and RFC 4231 §§4.2, 4.3, 4.7.
#[test]
fn hmac_gives_the_published_values() {
    use wit::Hash::{Sha1, Sha256, Sha512};
    let long_key = "aa".repeat(131);
    let long = "Test Using Larger Than Block-Size Key - Hash Key First";
    let jefe = hex::encode("Jefe");
    let message = "what do ya want for nothing?";
    for (hash, key, message, expected) in [
        (Sha1, jefe.as_str(), message, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            Sha256,
            &"0b".repeat(20),
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            Sha256,
            &jefe,
            message,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            Sha256,
            &long_key,
            long,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            Sha512,
            &jefe,
            message,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let mut bench = Bench::new();
        let key = bench.key(key, wit::KeyEncoding::Hex);
        assert!(
            bench.holds(hmac(hash, key.clone(), bytes(message.as_bytes()), expected)),
            "{hash:?}"
        );
        let (head, tail) = message.as_bytes().split_at(3);
        let split = [bytes(head), bytes(b""), bytes(tail)].concat();
        assert!(
            bench.holds(hmac(hash, key.clone(), split, expected)),
            "{hash:?} in segments"
        );
        assert!(
            !bench.holds(hmac(hash, key.clone(), bytes(b"another message"), expected)),
            "{hash:?}"
        );
        assert!(
            !bench.holds(hmac(hash, key, bytes(message.as_bytes()), &expected[2..])),
            "{hash:?} truncated"
        );
    }
}

#[test]
fn a_key_is_read_in_its_encoding() {
    let expected = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    for (secret, encoding) in [
        ("Jefe", wit::KeyEncoding::Utf8),
        ("SmVmZQ==", wit::KeyEncoding::Base64),
        (" SmVmZQ\n", wit::KeyEncoding::Base64),
        ("4a656665", wit::KeyEncoding::Hex),
        ("4A656665 ", wit::KeyEncoding::Hex),
    ] {
        let mut bench = Bench::new();
        let key = bench.key(secret, encoding);
        assert!(
            bench.holds(hmac(wit::Hash::Sha1, key, bytes(MESSAGE), expected)),
            "{secret:?}"
        );
    }
    for (secret, encoding) in [
        ("jefe", wit::KeyEncoding::Utf8),
        ("Jefe ", wit::KeyEncoding::Utf8),
        ("not base64!", wit::KeyEncoding::Base64),
        ("4a65666", wit::KeyEncoding::Hex),
    ] {
        let mut bench = Bench::new();
        let key = bench.key(secret, encoding);
        assert!(
            !bench.holds(hmac(wit::Hash::Sha1, key, bytes(MESSAGE), expected)),
            "{secret:?}"
        );
    }
}

#[test]
fn an_empty_key_signs_nothing() {
    for (secret, encoding) in [
        ("", wit::KeyEncoding::Utf8),
        ("  ", wit::KeyEncoding::Base64),
        (" ", wit::KeyEncoding::Hex),
    ] {
        let mut bench = Bench::new();
        let key = bench.key(secret, encoding);
        // HMAC-SHA1 of the empty message under the empty key.
        let check = hmac(
            wit::Hash::Sha1,
            key,
            bytes(b""),
            "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d",
        );
        assert!(!bench.holds(check), "{encoding:?}");
    }
    let mut bench = Bench::new();
    let sealed = bench.vault.seal(Secret::new(""));
    assert!(!bench.holds(wit::Check::Equals(wit::EqualsCheck {
        sealed,
        presented: Vec::new()
    })));
}

/// RFC 8032 §7.1, tests 1 to 3.
#[test]
fn ed25519_accepts_the_published_signatures() {
    for (key, message, signature) in [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let check = |key: Vec<u8>, message: Vec<u8>, signature: Vec<u8>| {
            wit::Check::Ed25519(wit::Ed25519Check {
                public_key: key,
                message,
                signature,
            })
        };
        let (key, message, signature) = (
            hex::decode(key).unwrap(),
            hex::decode(message).unwrap(),
            hex::decode(signature).unwrap(),
        );
        let bench = Bench::new();
        assert!(bench.holds(check(key.clone(), message.clone(), signature.clone())));
        assert!(!bench.holds(check(
            key.clone(),
            [message.as_slice(), b"x"].concat(),
            signature.clone()
        )));
        assert!(!bench.holds(check(key[1..].to_vec(), message.clone(), signature.clone())));
        assert!(!bench.holds(check(key.clone(), message.clone(), signature[1..].to_vec())));
        for at in [0, 31, 32, 63] {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(!bench.holds(check(key.clone(), message.clone(), changed)), "byte {at}");
        }
    }
}

/// The neutral point as key and as signature fits every message, unless it is refused.
#[test]
fn ed25519_refuses_a_key_of_small_order() {
    let mut key = vec![0; 32];
    key[0] = 1;
    let signature = [key.as_slice(), &[0; 32]].concat();
    let bench = Bench::new();
    let message = b"anything".to_vec();
    assert!(!bench.holds(wit::Check::Ed25519(wit::Ed25519Check {
        public_key: key,
        message,
        signature
    })));
}

#[test]
fn a_digest_holds_only_beside_a_key() {
    let mut bench = Bench::new();
    let digest = |expected: &str| {
        wit::Check::Digest(wit::DigestCheck {
            hash: wit::Hash::Sha256,
            message: bytes(b"abc"),
            expected: hex::decode(expected).unwrap(),
        })
    };
    // FIPS 180-2, appendix B.1.
    let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let alone = refusal(bench.verdict(vec![digest(right)]).unwrap());
    assert!(alone[0].failed.contains("no check that involves a key"), "{alone:?}");
    let signed = jefe(&mut bench);
    assert!(matches!(
        bench.verdict(vec![digest(right), signed.clone()]),
        Ok(Verdict::Genuine { .. })
    ));
    let failed = refusal(bench.verdict(vec![signed, digest("00")]).unwrap());
    assert!(failed[0].failed.starts_with("check 2 of 2: digest"), "{failed:?}");
}

#[test]
fn a_presented_secret_must_be_the_sealed_one() {
    let mut bench = Bench::new();
    let sealed = bench.vault.seal(Secret::new("hush"));
    let equals = |presented: &str| {
        wit::Check::Equals(wit::EqualsCheck {
            sealed: sealed.clone(),
            presented: presented.as_bytes().to_vec(),
        })
    };
    assert!(bench.holds(equals("hush")));
    for presented in ["", "hus", "hushh", "Hush", sealed.as_str()] {
        assert!(!bench.holds(equals(presented)), "{presented}");
    }
}

#[test]
fn a_secret_may_be_a_piece_of_what_is_signed() {
    let mut bench = Bench::new();
    let sealed = bench.vault.seal(Secret::new("ya want"));
    let message = [
        bytes(b"what do "),
        vec![wit::Segment::Sealed(sealed)],
        bytes(b" for nothing?"),
    ]
    .concat();
    let key = bench.key("Jefe", wit::KeyEncoding::Utf8);
    assert!(bench.holds(hmac(
        wit::Hash::Sha1,
        key,
        message,
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    )));
}

#[test]
fn once_counts_only_in_a_proof_that_holds() {
    let mut bench = Bench::new();
    let once = |key: &str| {
        wit::Check::Once(wit::OnceCheck {
            key: key.to_owned(),
            ttl_ms: 1000,
        })
    };
    let signed = jefe(&mut bench);
    let expected = OnceKey {
        key: "nonce".to_owned(),
        ttl_ms: 1000,
    };
    match bench.verdict(vec![once("nonce"), signed.clone()]).unwrap() {
        Verdict::Genuine { once, .. } => assert_eq!(once, std::slice::from_ref(&expected)),
        other => panic!("{other:?}"),
    }
    let alone = refusal(bench.verdict(vec![once("nonce")]).unwrap());
    assert!(alone[0].failed.contains("no check that involves a key"));
    // The key of a proof that does not hold is not claimed: an attacker could otherwise use up honest ones.
    let wrong = wit::Check::Equals(wit::EqualsCheck {
        sealed: bench.vault.seal(Secret::new("hush")),
        presented: b"x".to_vec(),
    });
    let proofs = vec![
        wit::Proof {
            label: "wrong".to_owned(),
            checks: vec![once("other"), wrong],
        },
        wit::Proof {
            label: "right".to_owned(),
            checks: vec![signed, once("nonce")],
        },
    ];
    match evaluate(&bench.vault, Ok(proofs)).unwrap() {
        Verdict::Genuine { label, once } => {
            assert_eq!(label, "right");
            assert_eq!(once, [expected]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_of_several_proofs_is_enough_and_each_failure_is_told() {
    let mut bench = Bench::new();
    let proof = |label: &str, checks: Vec<wit::Check>| wit::Proof {
        label: label.to_owned(),
        checks,
    };
    let right = jefe(&mut bench);
    let key = bench.key("other", wit::KeyEncoding::Utf8);
    let wrong = hmac(wit::Hash::Sha256, key, bytes(MESSAGE), "00");
    let verdict = evaluate(
        &bench.vault,
        Ok(vec![proof("a", vec![wrong.clone()]), proof("b", vec![right])]),
    )
    .unwrap();
    assert_eq!(
        verdict,
        Verdict::Genuine {
            label: "b".to_owned(),
            once: vec![]
        }
    );
    let failed = refusal(evaluate(&bench.vault, Ok(vec![proof("a\n", vec![wrong]), proof("c", vec![])])).unwrap());
    assert_eq!(
        failed.iter().map(|failed| failed.label.as_str()).collect::<Vec<_>>(),
        ["a", "c"]
    );
    assert!(failed[0].failed.starts_with("check 1 of 1: HMAC-SHA256"), "{failed:?}");
}

#[test]
fn no_proof_is_a_refusal() {
    assert_eq!(
        evaluate(&Bench::new().vault, Ok(vec![])),
        Ok(Verdict::Refused(Refusal::NoProof))
    );
    assert_eq!(refusal(Bench::new().verdict(vec![]).unwrap()).len(), 1);
}

#[test]
fn a_rejection_is_told_without_control_characters() {
    let rejection = wit::Rejection {
        code: "signature-missing\n".to_owned(),
        message: "x".repeat(1000),
    };
    match evaluate(&Bench::new().vault, Err(rejection)).unwrap() {
        Verdict::Refused(Refusal::Rejected { code, message }) => {
            assert_eq!(code, "signature-missing");
            assert_eq!(message.len(), 500);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_breaks_the_contract_is_the_guests_fault() {
    let mut bench = Bench::new();
    let token = bench.vault.seal(Secret::new("hush"));
    let other = Vault::new([4; 16]).seal(Secret::new("hush"));
    let sealed_key = |reference: &str| wit::SealedKey {
        reference: reference.to_owned(),
        encoding: wit::KeyEncoding::Utf8,
    };
    let once = |key: &str, ttl_ms| {
        wit::Check::Once(wit::OnceCheck {
            key: key.to_owned(),
            ttl_ms,
        })
    };
    let broken = [
        (
            "a key in the clear",
            hmac(wit::Hash::Sha1, sealed_key("hush"), bytes(b""), "00"),
        ),
        (
            "a key of another operation",
            hmac(wit::Hash::Sha1, sealed_key(&other), bytes(b""), "00"),
        ),
        (
            "a key with more around it",
            hmac(wit::Hash::Sha1, sealed_key(&format!("{token}0")), bytes(b""), "00"),
        ),
        (
            "a segment of another operation",
            hmac(
                wit::Hash::Sha1,
                sealed_key(&token),
                vec![wit::Segment::Sealed(other.clone())],
                "00",
            ),
        ),
        (
            "a secret in the clear to compare with",
            wit::Check::Equals(wit::EqualsCheck {
                sealed: "hush".to_owned(),
                presented: b"hush".to_vec(),
            }),
        ),
        ("an empty key", once("", 1)),
        ("a long key", once(&"x".repeat(129), 1)),
        ("no time at all", once("x", 0)),
        ("more than a day", once("x", ONCE_MS_MAX + 1)),
        ("a secret in a key", once(&token, 1)),
    ];
    for (what, check) in broken {
        assert!(bench.verdict(vec![check]).is_err(), "{what}");
    }
    let many = vec![jefe(&mut bench); COUNT_MAX + 1];
    assert!(bench.verdict(many.clone()).is_err());
    let proofs = many
        .into_iter()
        .map(|check| wit::Proof {
            label: String::new(),
            checks: vec![check],
        })
        .collect();
    assert!(evaluate(&bench.vault, Ok(proofs)).is_err());
    let telling = wit::Rejection {
        code: "x".to_owned(),
        message: format!("the key is {token}"),
    };
    assert!(evaluate(&bench.vault, Err(telling)).is_err());
}
