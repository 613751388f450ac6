//! Where each setting came from, for people who wonder.

use std::ffi::OsString;

use url::Url;

use crate::keyring::Keyring;

use super::{DATABASE_FILE, Flags, Found, NAMES, Origin, Settings, SettingsError, sqlite_url};

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Its value; passwords are not in it.
    pub value: String,
    /// Where it came from; nothing for a default.
    pub origin: Option<Origin>,
}

impl Settings {
    /// Like [`Settings::load`], with the origin of every setting.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn explained(flags: &Flags) -> Result<(Self, Vec<Explained>), SettingsError> {
        Self::explain(flags, |name| std::env::var_os(name))
    }

    pub(super) fn explain(
        flags: &Flags,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(Self, Vec<Explained>), SettingsError> {
        let settings = Self::resolve(flags, &env)?;
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let found = Found::open(flags, &env)?;
        let explain = |&(name, purpose): &(&'static str, &'static str)| {
            let origin = found.values(name)?.map(|(_, origin)| origin);
            Ok(Explained {
                name,
                purpose,
                value: settings.shown(name),
                origin,
            })
        };
        let explained = NAMES.iter().map(explain).collect::<Result<_, _>>()?;
        Ok((settings, explained))
    }

    /// The keys that protect the store; nothing when a first start would make them.
    ///
    /// # Errors
    /// As for [`Settings::keyring`].
    pub fn present_keyring(&self) -> Result<Option<Keyring>, SettingsError> {
        let no_key = self.encryption_key.is_none()
            && self.encryption_key_command.is_none()
            && !self.encryption_key_file.exists();
        let file = self.data_dir.join(DATABASE_FILE);
        let no_database = self.database_url == sqlite_url(&file) && !file.exists();
        if no_key && no_database {
            return Ok(None);
        }
        self.keyring().map(Some)
    }

    /// The value that is in force, as it would be written.
    fn shown(&self, name: &str) -> String {
        let none = || "none".to_owned();
        let list = |values: Vec<String>| if values.is_empty() { none() } else { values.join(", ") };
        let (meter, limits) = (&self.budgets.meter, &self.call_limits);
        match name {
            "data_dir" => self.data_dir.display().to_string(),
            "encryption_key_command" => self.encryption_key_command.clone().unwrap_or_else(none),
            "listen" => self.listen.to_string(),
            "metrics_listen" => self.metrics_listen.map_or_else(none, |address| address.to_string()),
            "public_base_url" => self.public_url(self.listen).to_string(),
            "database_url" => without_password(&self.database_url),
            "providers" => list(self.providers.iter().map(|path| path.display().to_string()).collect()),
            "allow_networks" => list(self.allow_networks.iter().map(ToString::to_string).collect()),
            "egress_routes" => list(
                self.egress_routes
                    .iter()
                    .map(|route| format!("{}={}", route.host, route.base))
                    .collect(),
            ),
            "calls_max" => self.calls_max.to_string(),
            "tenant_cpu_ms_per_s" => meter.cpu_ms_per_s.to_string(),
            "tenant_invocations_per_s" => meter.invocations_per_s.to_string(),
            "tenant_effects_per_s" => meter.effects_per_s.to_string(),
            "tenant_instances_max" => meter.instances_max.to_string(),
            "tenant_keys_max" => self.budgets.kept.keys.to_string(),
            "tenant_kept_bytes_max" => self.budgets.kept.bytes.to_string(),
            "webhook_body_bytes_max" => self.webhook_body_bytes_max.to_string(),
            "call_duration_max_s" => limits.call_duration_max_s.to_string(),
            "tenant_calls_max" => limits.calls_max.to_string(),
            "tenant_number_calls_max" => limits.number_calls_max.map_or_else(none, |calls| calls.to_string()),
            "tenant_calls_per_s" => limits.calls_per_s.to_string(),
            "tenant_number_calls_per_s" => limits.number_calls_per_s.to_string(),
            "tenant_provider_calls_per_s" => limits.provider_calls_per_s.to_string(),
            "denied_destinations" => list(limits.destinations.denied.iter().map(ToString::to_string).collect()),
            "call_lease_s" => self.call_lease.as_secs().to_string(),
            "shutdown_grace_s" => self.shutdown_grace.as_secs().to_string(),
            "event_lease_s" => self.event_lease.as_secs().to_string(),
            "recording" => self.recording.to_string(),
            "trusted_signers" => list(
                self.trusted_signers
                    .iter()
                    .map(|signer| signer.name().to_owned())
                    .collect(),
            ),
            "require_signature" => self.require_signature.to_string(),
            "record_invocations" => self.record_invocations.to_string(),
            "encryption_key_file" => self.encryption_key_file.display().to_string(),
            _ => String::new(),
        }
    }
}

fn without_password(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "not a URL".to_owned();
    };
    if url.password().is_some() {
        // A URL with a password has a host, so it can be changed.
        let _ = url.set_password(Some("…"));
    }
    // PostgreSQL takes it here as well.
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "password")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if url.query().is_some() {
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(variables: &'static [(&'static str, &'static str)]) -> Vec<Explained> {
        let env = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        };
        Settings::explain(&Flags::default().set("calls_max", Some(7)), env)
            .unwrap()
            .1
    }

    #[test]
    fn every_setting_has_a_value() {
        for setting in explained(&[]) {
            assert_ne!(setting.value, "", "{}", setting.name);
        }
    }

    #[test]
    fn a_value_is_shown_with_where_it_came_from() {
        let settings = explained(&[("STROWGER_SHUTDOWN_GRACE_S", "12")]);
        let of = |name| {
            let found = settings.iter().find(|setting| setting.name == name).unwrap();
            (found.value.clone(), found.origin.clone())
        };
        assert_eq!(of("calls_max"), ("7".to_owned(), Some(Origin::Flag("calls_max"))));
        let variable = Origin::Variable("STROWGER_SHUTDOWN_GRACE_S".to_owned());
        assert_eq!(of("shutdown_grace_s"), ("12".to_owned(), Some(variable)));
        assert_eq!(of("recording"), ("true".to_owned(), None));
    }

    #[test]
    fn a_password_is_not_shown() {
        for url in [
            "postgres://strowger:hush-hush@db.example/strowger?sslmode=require",
            "postgres://db.example/strowger?password=hush-hush&sslmode=require",
        ] {
            let shown = without_password(url);
            assert!(!shown.contains("hush") && shown.contains("sslmode=require"), "{shown}");
        }
    }
}
