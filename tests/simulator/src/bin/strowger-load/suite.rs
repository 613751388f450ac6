//! The whole measurement in one run: webhooks, then calls through a copying relay and through Strowger in turn, so that the
//! ratios between them come from the same minutes of the same machine.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::Context;
use serde::Serialize;
use strowger_simulator::{
    AgentProtocol, Carrier, Gateway, Options, RunningCarrier, Signing,
    load::{self, Distribution, LoadAgent, LoadPlan, LoadReport, WebhookPlan, WebhookReport},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    beside::{Beside, Crowd, Harm, adopt_version, rotate_keys},
    gateway::{GatewayProcess, Installation},
    usage::{self, Reading, Usage},
};

/// Webhooks open calls whose media never come, and each keeps its place for a while.
const WEBHOOK_CALLS_MAX: u32 = 10_000;
/// A process's first call touches what every later one shares: it is not counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// From the last call's beginning until the processor is looked at, and from there to the first call's end.
const SETTLING: Duration = Duration::from_secs(2);
const BEFORE_END: Duration = Duration::from_millis(500);

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct SuitePlan {
    pub(crate) installation: Installation,
    pub(crate) carrier: &'static dyn Carrier,
    pub(crate) protocols: Vec<AgentProtocol>,
    /// Calls at once; each number is a run of its own.
    pub(crate) calls: Vec<usize>,
    pub(crate) calls_max: u32,
    /// Of each run with calls.
    pub(crate) duration: Duration,
    pub(crate) ramp: Duration,
    /// Of each run with webhooks.
    pub(crate) webhook_duration: Duration,
    /// Measures what these do to the calls, instead of all the rest.
    pub(crate) beside: Vec<Beside>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SuiteReport {
    machine: String,
    carrier: String,
    webhooks: Vec<WebhookRun>,
    calls: Vec<CallRun>,
}

#[derive(Debug, Serialize)]
struct WebhookRun {
    what: &'static str,
    at_once: usize,
    report: WebhookReport,
    usage: Usage,
}

#[derive(Debug, Serialize)]
pub(crate) struct CallRun {
    through: Through,
    beside: Beside,
    /// Of what happens once beside the calls.
    pub(crate) took_s: f64,
    /// Secrets that were sealed again in that time.
    pub(crate) rotated: u64,
    harm: Harm,
    report: LoadReport,
    /// Over the steady part, in which all calls have media.
    usage: Usage,
    /// Said and not heard over the steady part, give or take those under way at its ends.
    pub(crate) frames_lost_to_agent: i64,
    pub(crate) frames_lost_to_carrier: i64,
    resident_before_kib: u64,
    resident_after_kib: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Through {
    /// Copies messages: the floor.
    Relay,
    Strowger(AgentProtocol),
}

impl Through {
    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Strowger(AgentProtocol::Strowger) => "Strowger, native 16 kHz",
            Self::Strowger(AgentProtocol::MediaStreams) => "Strowger, media-streams",
        }
    }

    fn protocol(self) -> AgentProtocol {
        match self {
            Self::Relay => AgentProtocol::MediaStreams,
            Self::Strowger(protocol) => protocol,
        }
    }
}

/// Measures everything. `progress` is told what comes next.
pub(crate) async fn run(plan: &SuitePlan, mut progress: impl FnMut(&str)) -> anyhow::Result<SuiteReport> {
    let mut webhooks = Vec::new();
    if !plan.webhook_duration.is_zero() {
        let genuine = ("genuine, a new call each", Signing::Right);
        let forged = ("wrong signature", Signing::Wrong);
        for ((what, signing), at_once) in [(genuine, 1), (genuine, 16), (forged, 16)] {
            progress(&format!("webhooks, {what}, {at_once} at once"));
            webhooks.push(measure_webhooks(plan, what, signing, at_once).await?);
        }
    }
    let mut calls = Vec::new();
    for &count in &plan.calls {
        for &beside in &plan.beside {
            progress(&format!("{count} calls beside {}", beside.name()));
            let through = Through::Strowger(AgentProtocol::Strowger);
            calls.push(measure_calls(plan, through, count, beside).await?);
        }
        if !plan.beside.is_empty() {
            continue;
        }
        let through = std::iter::once(Through::Relay).chain(plan.protocols.iter().copied().map(Through::Strowger));
        for through in through {
            progress(&format!("{count} calls through {}", through.name()));
            calls.push(measure_calls(plan, through, count, Beside::Nothing).await?);
        }
    }
    Ok(SuiteReport {
        machine: usage::machine(),
        carrier: plan.carrier.name().to_owned(),
        webhooks,
        calls,
    })
}

async fn measure_webhooks(
    plan: &SuitePlan,
    what: &'static str,
    signing: Signing,
    at_once: usize,
) -> anyhow::Result<WebhookRun> {
    let carrier = RunningCarrier::start(plan.carrier, Options::default()).await?;
    let agent = LoadAgent::start(AgentProtocol::Strowger, ([127, 0, 0, 1], 0).into()).await?;
    let gateway = GatewayProcess::strowger(
        &plan.installation,
        &carrier,
        AgentProtocol::Strowger,
        &agent.url(),
        WEBHOOK_CALLS_MAX,
    )
    .await?;
    carrier.set_gateway(Gateway::at(&gateway.url())?)?;
    let webhooks = |duration| WebhookPlan {
        at_once,
        duration,
        signing,
        same_call: false,
        to: None,
    };
    load::webhooks(&carrier, &webhooks(Duration::from_millis(500))).await?;
    let before = Reading::take(gateway.pid())?;
    let report = load::webhooks(&carrier, &webhooks(plan.webhook_duration)).await?;
    let usage = Reading::take(gateway.pid())?.since(&before);
    Ok(WebhookRun {
        what,
        at_once,
        report,
        usage,
    })
}

async fn measure_calls(plan: &SuitePlan, through: Through, calls: usize, beside: Beside) -> anyhow::Result<CallRun> {
    // A carrier of its own, too: it remembers where an earlier gateway wanted to be called.
    let carrier = RunningCarrier::start(plan.carrier, Options::default()).await?;
    let agent = LoadAgent::start(through.protocol(), ([127, 0, 0, 1], 0).into()).await?;
    let gateway = match through {
        Through::Relay => GatewayProcess::relay(&agent.url())?,
        Through::Strowger(protocol) => {
            GatewayProcess::strowger(&plan.installation, &carrier, protocol, &agent.url(), plan.calls_max).await?
        }
    };
    carrier.set_gateway(Gateway::at(&gateway.url())?)?;
    play(plan, (&carrier, &agent, &gateway), through, calls, beside).await
}

/// Plays the calls and looks at them in the middle.
pub(crate) async fn play(
    plan: &SuitePlan,
    (carrier, agent, gateway): (&RunningCarrier, &LoadAgent, &GatewayProcess),
    through: Through,
    calls: usize,
    beside: Beside,
) -> anyhow::Result<CallRun> {
    let load = |calls, duration, ramp| LoadPlan {
        calls,
        duration,
        ramp,
        to: None,
    };
    load::run(carrier, agent, &load(1, WARM_UP, Duration::ZERO)).await?;
    let resident_before_kib = usage::resident_kib(gateway.pid())?;

    let crowd = Crowd::start(gateway, beside).await?;
    let begin = Instant::now();
    let steady = async {
        sleep_until(begin + plan.ramp + SETTLING).await;
        let before = (Reading::take(gateway.pid())?, agent.outstanding());
        let began = Instant::now();
        let mut rotated = 0;
        let adopted = match beside {
            Beside::Rotation => {
                rotated = rotate_keys(gateway).await?;
                None
            }
            Beside::Adoption => {
                let provider = plan.carrier.name();
                let component = plan.installation.providers.join(format!("{provider}.wasm"));
                Some(adopt_version(gateway, &component, provider).await?)
            }
            _ => None,
        };
        let took = began.elapsed();
        anyhow::ensure!(
            Instant::now() < begin + plan.duration - BEFORE_END,
            "--seconds: the calls ended before what went on beside them; give them more"
        );
        sleep_until(begin + plan.duration - BEFORE_END).await;
        let after = (Reading::take(gateway.pid())?, agent.outstanding());
        let usage = after.0.since(&before.0);
        anyhow::Ok((
            usage,
            after.1.frames_since(before.1),
            usage::resident_kib(gateway.pid())?,
            adopted,
            (rotated, took),
        ))
    };
    let measured = load(calls, plan.duration, plan.ramp);
    let (report, steady) = tokio::join!(load::run(carrier, agent, &measured), steady);
    let (usage, (frames_lost_to_agent, frames_lost_to_carrier), resident_after_kib, adopted, (rotated, took)) =
        steady.context("the gateway cannot be looked at any more")?;
    let harm = crowd.harm();
    if let Some(adopted) = adopted {
        load::run(carrier, agent, &load(1, WARM_UP, Duration::ZERO)).await?;
        let version = gateway.newest_version().await?;
        anyhow::ensure!(
            version == adopted,
            "a new call goes over {version} and not over {adopted}"
        );
    }
    Ok(CallRun {
        through,
        beside,
        took_s: took.as_secs_f64(),
        rotated,
        harm,
        report: report?,
        usage,
        frames_lost_to_agent,
        frames_lost_to_carrier,
        resident_before_kib,
        resident_after_kib,
    })
}

impl CallRun {
    fn memory_per_call_kib(&self) -> f64 {
        self.resident_after_kib.saturating_sub(self.resident_before_kib) as f64 / self.report.calls as f64
    }

    /// Calls, what went on beside them, pacing at the carrier, and latency one way.
    pub(crate) fn beside_row(&self) -> String {
        let report = &self.report;
        format!(
            "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            report.calls,
            self.beside.name(),
            report.pacing_jitter.p50_ms,
            report.pacing_jitter.p99_ms,
            report.pacing_jitter.p999_ms,
            report.carrier_to_agent.p50_ms,
            report.carrier_to_agent.p99_ms,
            report.agent_to_carrier.p50_ms,
            report.agent_to_carrier.p99_ms,
        )
    }

    fn cpu_per_call(&self) -> f64 {
        self.usage.gateway_cores / self.report.calls as f64
    }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

pub(crate) fn statuses(statuses: &BTreeMap<String, u64>) -> String {
    let listed: Vec<String> = statuses
        .iter()
        .map(|(status, count)| format!("{count} × {status}"))
        .collect();
    listed.join(", ")
}

impl SuiteReport {
    /// For people, and for `docs/performance.md`.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("Machine: {}. Carrier: {}.\n", self.machine, self.carrier);
        // Writing to a string cannot fail.
        let _ = self.write_webhooks(&mut text);
        if self.calls.iter().any(|run| run.beside != Beside::Nothing) {
            let _ = self.write_beside(&mut text);
        } else {
            let _ = self.write_latency(&mut text);
            let _ = self.write_added(&mut text);
        }
        let _ = self.write_cost(&mut text);
        text
    }

    fn write_webhooks(&self, text: &mut String) -> std::fmt::Result {
        if self.webhooks.is_empty() {
            return Ok(());
        }
        text.push_str("\n### Webhooks\n\n");
        text.push_str("| webhooks | at once | per second | p50 ms | p99 ms | p99.9 ms | CPU each | answers | generator | others |\n");
        text.push_str("|---|--:|--:|--:|--:|--:|--:|---|--:|--:|\n");
        for run in &self.webhooks {
            let WebhookReport {
                requests,
                per_second,
                latency,
                connected,
                ..
            } = &run.report;
            writeln!(
                text,
                "| {} | {} | {per_second:.0} | {:.2} | {:.2} | {:.2} | {:.0} µs | {}; {connected} connected | {} | {} |",
                run.what,
                run.at_once,
                latency.p50_ms,
                latency.p99_ms,
                latency.p999_ms,
                run.usage.gateway_cores * run.usage.seconds * 1e6 / *requests as f64,
                statuses(&run.report.statuses),
                percent(run.usage.generator_cores),
                percent(run.usage.others_cores),
            )?;
        }
        Ok(())
    }

    fn write_latency(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("\n### Latency one way, and pacing at the carrier (ms)\n\n");
        text.push_str("| calls | through | to agent p50 | p99 | to carrier p50 | p99 | jitter p50 | p99 | p99.9 |\n");
        text.push_str("|--:|---|--:|--:|--:|--:|--:|--:|--:|\n");
        for run in &self.calls {
            let LoadReport {
                calls,
                carrier_to_agent,
                agent_to_carrier,
                pacing_jitter,
                ..
            } = &run.report;
            writeln!(
                text,
                "| {calls} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                run.through.name(),
                carrier_to_agent.p50_ms,
                carrier_to_agent.p99_ms,
                agent_to_carrier.p50_ms,
                agent_to_carrier.p99_ms,
                pacing_jitter.p50_ms,
                pacing_jitter.p99_ms,
                pacing_jitter.p999_ms,
            )?;
        }
        Ok(())
    }

    fn write_beside(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("\n### Pacing at the carrier and latency one way, beside others (ms)\n\n");
        text.push_str("| calls | beside | jitter p50 | p99 | p99.9 | to agent p50 | p99 | to carrier p50 | p99 | hostile calls, refused, misdeeds |\n");
        text.push_str("|--:|---|--:|--:|--:|--:|--:|--:|--:|---|\n");
        for run in &self.calls {
            let Harm {
                calls,
                refused,
                misdeeds,
            } = run.harm;
            writeln!(text, "{} {calls}, {refused}, {misdeeds} |", run.beside_row())?;
        }
        Ok(())
    }

    fn write_added(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("\n### Added by Strowger: its figure less the relay's of the same number of calls (ms)\n\n");
        text.push_str("| calls | through | to agent p50 | p99 | to carrier p50 | p99 | CPU, times the relay's |\n");
        text.push_str("|--:|---|--:|--:|--:|--:|--:|\n");
        for run in self.calls.iter().filter(|run| run.through != Through::Relay) {
            let same = |other: &&CallRun| other.through == Through::Relay && other.report.calls == run.report.calls;
            let Some(relay) = self.calls.iter().find(same) else {
                continue;
            };
            let added = |of: fn(&LoadReport) -> Distribution, at: fn(&Distribution) -> f64| {
                at(&of(&run.report)) - at(&of(&relay.report))
            };
            writeln!(
                text,
                "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
                run.report.calls,
                run.through.name(),
                added(|report| report.carrier_to_agent, |times| times.p50_ms),
                added(|report| report.carrier_to_agent, |times| times.p99_ms),
                added(|report| report.agent_to_carrier, |times| times.p50_ms),
                added(|report| report.agent_to_carrier, |times| times.p99_ms),
                run.usage.gateway_cores / relay.usage.gateway_cores,
            )?;
        }
        Ok(())
    }

    fn write_cost(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("\n### Cost per call, losses, and who else was busy (% of one core)\n\n");
        text.push_str("| calls | through | CPU per call | memory per call | completed | frames lost to agent / carrier | tones lost | generator | late frames | others |\n");
        text.push_str("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for run in &self.calls {
            let report = &run.report;
            writeln!(
                text,
                "| {} | {} | {:.3} % | {:.0} KiB | {} | {} / {} | {} / {} | {} | {} | {} |",
                report.calls,
                run.through.name(),
                run.cpu_per_call() * 100.0,
                run.memory_per_call_kib(),
                report.completed,
                run.frames_lost_to_agent,
                run.frames_lost_to_carrier,
                report.tones_lost_to_agent,
                report.tones_lost_to_carrier,
                percent(run.usage.generator_cores),
                report.late_frames,
                percent(run.usage.others_cores),
            )?;
            for (reason, count) in &report.failed {
                writeln!(text, "| | {count} failed: {reason} | | | | | | | | |")?;
            }
        }
        Ok(())
    }
}
