use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;
use crate::http::check_header;

/// Made for these tests with `openssl genrsa`; it opens nothing.
const PKCS8: &str = include_str!("throwaway.pkcs8.pem");
const PKCS1: &str = include_str!("throwaway.pkcs1.pem");
const NOW_MS: u64 = 1_700_000_000_999;

fn sealed(secret: &str) -> (Vault, String) {
    let mut vault = Vault::new([5; 16]);
    let token = vault.seal(Secret::new(secret));
    (vault, token)
}

fn sent(vault: &Vault, authorization: &wit::Authorization) -> Result<Vec<(String, String)>, Problem> {
    let headers = headers(vault, authorization, NOW_MS, "unique-0")?;
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name, value.expose().to_owned()))
        .collect())
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn none_sends_nothing() {
    assert_eq!(sent(&Vault::new([5; 16]), &wit::Authorization::None), Ok(vec![]));
}

/// RFC 7617 §2.
#[test]
fn basic_sends_user_and_password() {
    let (vault, token) = sealed("open sesame");
    let basic = |user: &str, password: &str| wit::Authorization::Basic((user.to_owned(), password.to_owned()));
    let expected = header("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(sent(&vault, &basic("Aladdin", &token)), Ok(vec![expected]));
    assert!(sent(&vault, &basic("Alad:din", &token)).is_err());
    let (vault, token) = sealed("with:colon");
    assert!(sent(&vault, &basic(&token, "x")).is_err());
    assert!(sent(&vault, &basic("x", &token)).is_ok());
}

#[test]
fn bearer_and_headers_send_the_secret() {
    let (vault, token) = sealed("hush");
    let bearer = wit::Authorization::Bearer(token.clone());
    assert_eq!(sent(&vault, &bearer), Ok(vec![header("authorization", "Bearer hush")]));
    let headers = wit::Authorization::Headers(vec![
        wit::Header {
            name: "X-Auth-ID".to_owned(),
            value: "plain".to_owned(),
        },
        wit::Header {
            name: "X-Auth-Token".to_owned(),
            value: format!("k={token};v=1"),
        },
    ]);
    assert_eq!(
        sent(&vault, &headers),
        Ok(vec![header("x-auth-id", "plain"), header("x-auth-token", "k=hush;v=1")])
    );
}

#[test]
fn a_reference_of_another_operation_is_refused() {
    let (vault, _) = sealed("hush");
    let broken = format!("{}x", &vault_token(&vault)[..vault_token(&vault).len() - 1]);
    assert!(sent(&vault, &wit::Authorization::Bearer(broken)).is_err());
}

fn vault_token(vault: &Vault) -> String {
    vault.reseal_text("hush".to_owned())
}

/// Line breaks are found where every header is checked, after the secret was put in: its owner may have pasted them.
#[test]
fn a_line_break_in_a_header_is_refused() {
    for secret in ["hush\r\nx-admin: 1", "hush\n", "hush\r", "hush\0"] {
        let (vault, token) = sealed(secret);
        for (name, value) in sent(&vault, &wit::Authorization::Bearer(token)).unwrap() {
            let refusal = check_header(&name, &value).unwrap_err();
            assert!(!refusal.contains("hush"), "the refusal tells the secret");
        }
    }
    assert!(check_header("x-a\r\nx-b", "1").is_err());
    assert!(check_header("", "1").is_err());
    assert!(check_header("Content-Length", "1").is_err());
    assert_eq!(check_header("X-Auth", "a\tb"), Ok("x-auth".to_owned()));
}

fn jwt(algorithm: wit::JwtAlgorithm, key: &str, claims: &str, lifetime_s: u32) -> wit::Authorization {
    wit::Authorization::Jwt(wit::Jwt {
        algorithm,
        key: key.to_owned(),
        claims: claims.to_owned(),
        lifetime_s,
    })
}

/// Header, claims, what is signed, signature.
fn parts(headers: &[(String, String)]) -> (Value, Value, String, Vec<u8>) {
    let [(name, value)] = headers else { panic!("one header") };
    assert_eq!(name, "authorization");
    let token = value.strip_prefix("Bearer ").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (
        json(header),
        json(claims),
        signed.to_owned(),
        URL_SAFE_NO_PAD.decode(signature).unwrap(),
    )
}

#[test]
fn hs256_tokens_verify() {
    let (vault, token) = sealed("hush");
    let claims = r#"{"application_id": "app", "exp": 1, "jti": "chosen by the guest"}"#;
    let (header, claims, signed, signature) =
        parts(&sent(&vault, &jwt(wit::JwtAlgorithm::Hs256, &token, claims, 60)).unwrap());
    assert_eq!(header, json!({"typ": "JWT", "alg": "HS256"}));
    assert_eq!(
        claims,
        json!({"application_id": "app", "iat": 1_700_000_000, "exp": 1_700_000_060, "jti": "unique-0"}),
        "the runtime's claims replace the guest's"
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hush");
    ring::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
}

#[test]
fn rs256_tokens_verify_with_either_form_of_key() {
    for pem in [PKCS8, PKCS1] {
        let (vault, token) = sealed(pem);
        let (header, _, signed, signature) =
            parts(&sent(&vault, &jwt(wit::JwtAlgorithm::Rs256, &token, "{}", 3600)).unwrap());
        assert_eq!(header["alg"], "RS256");
        let der = PrivatePkcs1KeyDer::from_pem_slice(PKCS1.as_bytes()).unwrap();
        let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();
        public.verify(b"another message", &signature).unwrap_err();
    }
}

#[test]
fn a_token_that_cannot_be_made_says_why_without_the_key() {
    use wit::JwtAlgorithm::{Hs256, Rs256};
    let (vault, token) = sealed("hush-hush");
    for (algorithm, key, claims, lifetime_s) in [
        (Hs256, token.as_str(), "{}", 0),
        (Hs256, &token, "{}", 3601),
        (Hs256, &token, "[]", 60),
        (Hs256, &token, "not json", 60),
        (Hs256, "hush-hush", "{}", 60),
        (Hs256, &format!("x{token}"), "{}", 60),
        (Rs256, &token, "{}", 60),
    ] {
        let problem = sent(&vault, &jwt(algorithm, key, claims, lifetime_s)).unwrap_err();
        assert!(!problem.contains("hush-hush"), "{problem}");
    }
    let (vault, token) = sealed("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert!(
        sent(&vault, &jwt(Rs256, &token, "{}", 60))
            .unwrap_err()
            .contains("not a usable RSA key")
    );
}
