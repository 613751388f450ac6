//! What an organisation may do, and what the operator has said about one in particular.

use serde::{Deserialize, Serialize};

use super::{DestinationCap, DestinationRules, Prefix};

/// What an organisation may do. `docs/limits.md` has the reasons of the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits {
    /// Calls at once, in both directions.
    pub calls_max: u32,
    /// Calls at once over one of its numbers; no more than the organisation has when none.
    pub number_calls_max: Option<u32>,
    /// Calls in each second, of the organisation together. One second's worth may come at once.
    pub calls_per_s: u32,
    /// Calls in each second over one of its numbers.
    pub number_calls_per_s: u32,
    /// Calls in each second over one provider.
    pub provider_calls_per_s: u32,
    /// Seconds after which a call is ended.
    pub call_duration_max_s: u64,
    /// Where its calls may go.
    pub destinations: DestinationRules,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            calls_max: 10,
            number_calls_max: None,
            calls_per_s: 20,
            number_calls_per_s: 10,
            provider_calls_per_s: 20,
            call_duration_max_s: 4 * 3600,
            destinations: DestinationRules::by_default(),
        }
    }
}

impl CallLimits {
    /// These, with what was said about one organisation. A call never lasts longer than the installation allows.
    #[must_use]
    pub fn with(&self, overrides: LimitOverrides) -> Self {
        let own = overrides;
        Self {
            calls_max: own.calls_max.unwrap_or(self.calls_max),
            number_calls_max: own.number_calls_max.or(self.number_calls_max),
            calls_per_s: own.calls_per_s.unwrap_or(self.calls_per_s),
            number_calls_per_s: own.number_calls_per_s.unwrap_or(self.number_calls_per_s),
            provider_calls_per_s: own.provider_calls_per_s.unwrap_or(self.provider_calls_per_s),
            call_duration_max_s: own
                .call_duration_max_s
                .map_or(self.call_duration_max_s, |own| own.min(self.call_duration_max_s)),
            destinations: DestinationRules {
                denied: own
                    .denied_destinations
                    .unwrap_or_else(|| self.destinations.denied.clone()),
                allowed: own
                    .allowed_destinations
                    .unwrap_or_else(|| self.destinations.allowed.clone()),
                caps: own.destination_caps.unwrap_or_else(|| self.destinations.caps.clone()),
            },
        }
    }
}

/// What the operator has said about one organisation. What is absent is as in the whole installation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    /// See [`CallLimits::calls_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// See [`CallLimits::number_calls_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_calls_max: Option<u32>,
    /// See [`CallLimits::calls_per_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_s: Option<u32>,
    /// See [`CallLimits::number_calls_per_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_calls_per_s: Option<u32>,
    /// See [`CallLimits::provider_calls_per_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_calls_per_s: Option<u32>,
    /// See [`CallLimits::call_duration_max_s`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_duration_max_s: Option<u64>,
    /// Replaces [`DestinationRules::denied`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_destinations: Option<Vec<Prefix>>,
    /// Replaces [`DestinationRules::allowed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_destinations: Option<Vec<Prefix>>,
    /// Replaces [`DestinationRules::caps`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_caps: Option<Vec<DestinationCap>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_in_the_installation_and_no_call_is_longer() {
        let installation = CallLimits {
            call_duration_max_s: 600,
            ..CallLimits::default()
        };
        assert_eq!(installation.with(LimitOverrides::default()), installation);
        let own = LimitOverrides {
            calls_max: Some(2),
            call_duration_max_s: Some(3600),
            denied_destinations: Some(Vec::new()),
            ..LimitOverrides::default()
        };
        let limits = installation.with(own);
        assert_eq!((limits.calls_max, limits.call_duration_max_s), (2, 600));
        assert_eq!(limits.destinations.denied, Vec::new());
        let own = LimitOverrides {
            call_duration_max_s: Some(60),
            ..LimitOverrides::default()
        };
        assert_eq!(installation.with(own).call_duration_max_s, 60);
    }

    #[test]
    fn overrides_are_kept_as_they_were_said() {
        let text = r#"{"calls_max":3,"destination_caps":[{"prefix":"+44","calls_per_day":5,"minutes_per_day":null}]}"#;
        let read: LimitOverrides = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(serde_json::from_str::<LimitOverrides>(r#"{"calls_maximum":3}"#).is_err());
    }
}
