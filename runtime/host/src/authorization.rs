//! Turns the authorization that a component describes into the headers that are sent.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::bindings::strowger::provider::types as wit;
use crate::sealed::{Secret, Vault};

/// What is wrong with an authorization; told to the author, never with the secret.
type Problem = String;

/// The headers that carry the authorization. `now_ms` and `unique` become `iat`, `exp` and `jti` of a token.
pub(crate) fn headers(
    vault: &Vault,
    authorization: &wit::Authorization,
    now_ms: u64,
    unique: &str,
) -> Result<Vec<(String, Secret)>, Problem> {
    let open = |text: &str| {
        vault.open_within(text).ok_or_else(|| {
            "the authorization names a sealed reference that does not belong to this operation".to_owned()
        })
    };
    match authorization {
        wit::Authorization::None => Ok(Vec::new()),
        wit::Authorization::Basic((user, password)) => {
            let user = open(user)?;
            if user.expose().contains(':') {
                return Err("a user name in basic authorization must not contain a colon (RFC 7617 §2)".to_owned());
            }
            let pair = STANDARD.encode(format!("{}:{}", user.expose(), open(password)?.expose()));
            Ok(vec![("authorization".to_owned(), Secret::new(format!("Basic {pair}")))])
        }
        wit::Authorization::Bearer(token) => Ok(vec![(
            "authorization".to_owned(),
            Secret::new(format!("Bearer {}", open(token)?.expose())),
        )]),
        wit::Authorization::Headers(headers) => headers
            .iter()
            .map(|header| Ok((header.name.to_ascii_lowercase(), open(&header.value)?)))
            .collect(),
        wit::Authorization::Jwt(jwt) => {
            let token = mint(vault, jwt, now_ms, unique)?;
            Ok(vec![(
                "authorization".to_owned(),
                Secret::new(format!("Bearer {token}")),
            )])
        }
    }
}

/// RFC 7515 compact serialisation of a JWT (RFC 7519).
fn mint(vault: &Vault, jwt: &wit::Jwt, now_ms: u64, unique: &str) -> Result<String, Problem> {
    if !(1..=3600).contains(&jwt.lifetime_s) {
        return Err(format!(
            "a token's lifetime must be 1 to 3600 seconds, not {}",
            jwt.lifetime_s
        ));
    }
    let Ok(Value::Object(mut claims)) = serde_json::from_str(&jwt.claims) else {
        return Err("the claims of a token must be a JSON object".to_owned());
    };
    let iat = now_ms / 1000;
    claims.insert("iat".to_owned(), json!(iat));
    claims.insert("exp".to_owned(), json!(iat + u64::from(jwt.lifetime_s)));
    claims.insert("jti".to_owned(), json!(unique));
    let algorithm = match jwt.algorithm {
        wit::JwtAlgorithm::Hs256 => "HS256",
        wit::JwtAlgorithm::Rs256 => "RS256",
    };
    let header = json!({ "typ": "JWT", "alg": algorithm });
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string())
    );
    let key = vault
        .open(&jwt.key)
        .ok_or("the key of a token must be a sealed reference")?;
    let signature = match jwt.algorithm {
        wit::JwtAlgorithm::Hs256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
                .map_err(|_| "the key of a token is not usable")?;
            mac.update(signed.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        wit::JwtAlgorithm::Rs256 => {
            let pair = rsa_key(key)?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "signing with the private key failed")?;
            signature
        }
    };
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn rsa_key(key: &Secret) -> Result<RsaKeyPair, Problem> {
    let pem = key.expose().as_bytes();
    if let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(pem) {
        return RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|error| format!("the private key is not a usable RSA key: {error}"));
    }
    let der = PrivatePkcs1KeyDer::from_pem_slice(pem)
        .map_err(|_| "the private key is not PEM text that begins with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----")?;
    RsaKeyPair::from_der(der.secret_pkcs1_der())
        .map_err(|error| format!("the private key is not a usable RSA key: {error}"))
}

#[cfg(test)]
mod tests;
