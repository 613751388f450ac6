//! What the person at the carrier's end of the line does.

use std::time::Duration;

use crate::{
    playout::Playout,
    speech::{Speech, samples_in},
};

/// Steps of a person on the line, from the moment that media flows: speak, listen, press keys, hang up.
///
/// A script that ends without [`Self::stay`] hangs up.
#[derive(Debug, Clone, Default)]
pub struct CallerScript {
    steps: Vec<Step>,
    /// How long to stay on the line when the media stream has ended but the call has not.
    patience: Option<Duration>,
    /// When to hang up after the answer, whatever the steps.
    leaves_after: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Step {
    Speak(Speech),
    Silence(Duration),
    Press(char),
    WaitHeard { heard: Duration, at_most: Duration },
    WaitQuiet { quiet: Duration, at_most: Duration },
    WaitPerson { at_most: Duration },
    HangUp,
    Stay,
}

impl CallerScript {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says it, at its own speed.
    #[must_use]
    pub fn speak(mut self, speech: impl Into<Speech>) -> Self {
        self.steps.push(Step::Speak(speech.into()));
        self
    }

    /// Says nothing for this long.
    #[must_use]
    pub fn silence(mut self, duration: Duration) -> Self {
        self.steps.push(Step::Silence(duration));
        self
    }

    /// Presses a key: 0-9, `*`, `#`.
    #[must_use]
    pub fn press(mut self, digit: char) -> Self {
        self.steps.push(Step::Press(digit));
        self
    }

    /// Listens until so much audio has been heard since this step began; the way to speak *over* an agent.
    #[must_use]
    pub fn wait_heard(mut self, heard: Duration, at_most: Duration) -> Self {
        self.steps.push(Step::WaitHeard { heard, at_most });
        self
    }

    /// Listens until the other side has been quiet for so long, but only after it has said something.
    #[must_use]
    pub fn wait_quiet(mut self, quiet: Duration, at_most: Duration) -> Self {
        self.steps.push(Step::WaitQuiet { quiet, at_most });
        self
    }

    /// Waits until another person is there: the way to speak with whom the agent connects.
    #[must_use]
    pub fn wait_person(mut self, at_most: Duration) -> Self {
        self.steps.push(Step::WaitPerson { at_most });
        self
    }

    #[must_use]
    pub fn hang_up(mut self) -> Self {
        self.steps.push(Step::HangUp);
        self
    }

    /// Stays on the line, silent, until the other side ends the call.
    #[must_use]
    pub fn stay(mut self) -> Self {
        self.steps.push(Step::Stay);
        self
    }

    /// Stays this long (instead of 5 s) when the media stream ends but the call does not.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Hangs up so long after the answer, whatever the steps and whatever happens on the line.
    #[must_use]
    pub fn leave_after(mut self, duration: Duration) -> Self {
        self.leaves_after = Some(duration);
        self
    }

    /// Has all speech ready at this rate, so that the line does not wait for it.
    pub(crate) fn prepare(&self, rate_hz: u32) {
        for step in &self.steps {
            if let Step::Speak(speech) = step {
                let _ = speech.at_rate(rate_hz);
            }
        }
    }

    pub(crate) fn patience_or_default(&self) -> Duration {
        self.patience.unwrap_or(Duration::from_secs(5))
    }

    pub(crate) fn leaves_after(&self) -> Option<Duration> {
        self.leaves_after
    }
}

/// What the person does in one frame's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Sound(Vec<i16>),
    Press(char),
    /// A wait that ended without what was waited for; nothing is sent.
    GaveUp(&'static str),
    HangUp,
}

/// What the person can tell of the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) playout: &'a Playout,
    /// Another person is there.
    pub(crate) company: bool,
}

/// Runs a script frame by frame; pure, time is in samples since the stream began, or the stay in a conference.
#[derive(Debug)]
pub(crate) struct Runner {
    steps: std::vec::IntoIter<Step>,
    current: Option<Step>,
    /// Start of the current step, in samples.
    since: u64,
    /// Audio heard when the current step began.
    heard_before: u64,
    /// Samples of the current step already said.
    said: usize,
    rate_hz: u32,
    frame_samples: usize,
}

impl Runner {
    pub(crate) fn new(script: &CallerScript, rate_hz: u32, frame_samples: usize) -> Self {
        let steps: Vec<Step> = script
            .steps
            .iter()
            .map(|step| match step {
                Step::Speak(speech) => Step::Speak(speech.at_rate(rate_hz)),
                other => other.clone(),
            })
            .collect();
        let mut steps = steps.into_iter();
        let current = steps.next();
        Self {
            steps,
            current,
            since: 0,
            heard_before: 0,
            said: 0,
            rate_hz,
            frame_samples,
        }
    }

    /// The person is somewhere else, where time begins anew.
    pub(crate) fn move_on(&mut self) {
        self.since = 0;
        self.heard_before = 0;
    }

    /// Time passes in which the script rests.
    pub(crate) fn rest(&mut self, samples: u64) {
        self.since += samples;
    }

    /// What happens in the frame that ends at `now`. Called again in the same frame until there is sound or an end.
    pub(crate) fn poll(&mut self, now: u64, line: Line<'_>) -> Behaviour {
        let Line { playout: line, company } = line;
        loop {
            let Some(step) = self.current.take() else {
                return Behaviour::HangUp;
            };
            let elapsed = now.saturating_sub(self.since);
            let heard = line.heard_samples(now);
            let samples = |duration| samples_in(duration, self.rate_hz) as u64;
            match step {
                Step::Speak(speech) => {
                    let rest = &speech.samples()[self.said.min(speech.samples().len())..];
                    if rest.is_empty() {
                        self.advance(now, heard);
                        continue;
                    }
                    let mut frame = rest[..rest.len().min(self.frame_samples)].to_vec();
                    frame.resize(self.frame_samples, 0);
                    self.said += self.frame_samples;
                    self.current = Some(Step::Speak(speech));
                    return Behaviour::Sound(frame);
                }
                Step::Silence(duration) if elapsed >= samples(duration) => self.advance(now, heard),
                Step::Press(digit) => {
                    self.advance(now, heard);
                    return Behaviour::Press(digit);
                }
                Step::WaitHeard { heard: wanted, .. } if heard - self.heard_before.min(heard) >= samples(wanted) => {
                    self.advance(now, heard);
                }
                Step::WaitHeard { at_most, .. } if elapsed >= samples(at_most) => {
                    self.advance(now, heard);
                    return Behaviour::GaveUp("waited for the other side to speak");
                }
                Step::WaitQuiet { quiet, .. }
                    if heard > self.heard_before && line.quiet_samples(now) >= samples(quiet) =>
                {
                    self.advance(now, heard);
                }
                Step::WaitQuiet { at_most, .. } if elapsed >= samples(at_most) => {
                    self.advance(now, heard);
                    return Behaviour::GaveUp("waited for the other side to finish");
                }
                Step::WaitPerson { .. } if company => self.advance(now, heard),
                Step::WaitPerson { at_most } if elapsed >= samples(at_most) => {
                    self.advance(now, heard);
                    return Behaviour::GaveUp("waited for another person");
                }
                Step::HangUp => return Behaviour::HangUp,
                waiting @ (Step::Silence(_)
                | Step::WaitHeard { .. }
                | Step::WaitQuiet { .. }
                | Step::WaitPerson { .. }
                | Step::Stay) => {
                    self.current = Some(waiting);
                    return Behaviour::Sound(vec![0; self.frame_samples]);
                }
            }
        }
    }

    fn advance(&mut self, now: u64, heard: u64) {
        self.current = self.steps.next();
        self.since = now;
        self.heard_before = heard;
        self.said = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviours(script: &CallerScript, line: &Playout, frames: u64) -> Vec<Behaviour> {
        let mut runner = Runner::new(script, 8000, 160);
        let mut seen = Vec::new();
        for frame in 0..frames {
            loop {
                let line = Line {
                    playout: line,
                    company: false,
                };
                let next = runner.poll(frame * 160, line);
                let done = matches!(next, Behaviour::Sound(_) | Behaviour::HangUp);
                seen.push(next);
                if done {
                    break;
                }
            }
            if seen.last() == Some(&Behaviour::HangUp) {
                break;
            }
        }
        seen
    }

    #[test]
    fn speaks_presses_and_hangs_up_in_order() {
        let script = CallerScript::new()
            .speak(Speech::from_samples(8000, vec![7; 200]))
            .press('5')
            .silence(Duration::from_millis(40));
        let seen = behaviours(&script, &Playout::new(8000), 10);
        let mut tail = vec![7; 40];
        tail.resize(160, 0);
        let quiet = Behaviour::Sound(vec![0; 160]);
        assert_eq!(
            seen,
            [
                Behaviour::Sound(vec![7; 160]),
                Behaviour::Sound(tail),
                Behaviour::Press('5'),
                quiet.clone(),
                quiet,
                Behaviour::HangUp
            ]
        );
    }

    #[test]
    fn waits_until_enough_was_heard_and_not_for_ever() {
        let mut line = Playout::new(8000);
        line.handle_audio(160, &[1; 480]);
        let script = CallerScript::new()
            .wait_heard(Duration::from_millis(20), Duration::from_secs(1))
            .press('1');
        // Heard from sample 160 on: 20 ms of it are over at sample 320, in the third frame.
        assert_eq!(behaviours(&script, &line, 5)[2], Behaviour::Press('1'));
        let script = CallerScript::new()
            .wait_heard(Duration::from_secs(1), Duration::from_millis(40))
            .press('1');
        assert!(matches!(behaviours(&script, &line, 5)[2], Behaviour::GaveUp(_)));
        let script = CallerScript::new()
            .wait_quiet(Duration::from_millis(20), Duration::from_secs(1))
            .press('1');
        // The audio ends at 640; 20 ms later is 800, the sixth frame.
        assert_eq!(behaviours(&script, &line, 8)[5], Behaviour::Press('1'));
    }
}
