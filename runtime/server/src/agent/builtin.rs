//! Agents that are built in, for trials without an agent: `echo`, `tone` and `play`.
//!
//! They take the same commands and give the same events as a remote agent. What they play leaves in real time, a little
//! ahead, as from a well-behaved agent.
//!
//! Parameters: `tone` takes `frequency_hz`, `level_dbfs` and `duration_ms` (without it, it goes on); `play` takes `file`, a path
//! inside the operator's media folder, or plays a chime; both hang up when all was heard if `hang_up_after` is true.

use std::f64::consts::SQRT_2;
use std::path::{Component, Path};
use std::time::Duration;

use hound::{SampleFormat, WavReader};
use serde_json::{Map, Value};
use strowger_audio::{Resampler, SampleRate, Tone};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::{AgentCall, AgentCommand, AgentEvent, AgentLimits, AgentSpec, Mailbox, Protocol};

/// Frames that leave at once, so that a late wake-up of ours is not heard.
const FRAMES_AHEAD: u32 = 3;

/// Ten minutes at 48 kHz, which bounds what a file can take of memory.
const CLIP_SAMPLES_MAX: usize = 48_000 * 600;

const TONE_HZ: f64 = 440.0;
const TONE_DBFS: f64 = -12.0;

/// C5, E5, G5, as in every waiting room.
const CHIME_HZ: [f64; 3] = [523.25, 659.26, 783.99];
const CHIME_NOTE_MS: u32 = 280;
const CHIME_PAUSE_MS: u32 = 400;

/// Set behind the last sample: when it was heard, everything was.
const END_MARK: &str = "end";

/// How long to wait for the end mark once everything has been handed over. A carrier may hold some of it; nobody holds this much.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a built-in agent cannot do what it was configured to.
#[derive(Debug, thiserror::Error)]
enum BuiltinError {
    #[error("`{0}` is not what this parameter can be")]
    Parameter(&'static str),
    #[error("the operator has not configured a media folder; leave out `file` to hear a chime")]
    NoFolder,
    #[error("`{0}` is not a file in the media folder")]
    NoFile(String),
    #[error("`{file}` cannot be played: {reason}")]
    NotPlayable { file: String, reason: String },
}

pub(super) async fn run(spec: &AgentSpec, call: &AgentCall, limits: &AgentLimits, mut mailbox: Mailbox) {
    let playing = match playing(spec, limits).await {
        Ok(playing) => playing,
        Err(error) => {
            tracing::warn!(protocol = spec.protocol.as_str(), %error, "agent failed");
            mailbox
                .deliver(AgentEvent::Failed {
                    reason: format!("the agent is not configured properly: {error}"),
                })
                .await;
            return;
        }
    };
    if !mailbox.deliver(AgentEvent::Connected).await {
        return;
    }
    loop {
        match next_command(&mut mailbox).await {
            Some(AgentCommand::Start) => break,
            Some(_) => {}
            None => return,
        }
    }
    match playing {
        None => echo(&mut mailbox).await,
        Some(playing) => {
            playing
                .run(spec.effective_sample_rate(), call.frame_ms.max(1), &mut mailbox)
                .await
        }
    }
}

/// `None` when the call is over.
async fn next_command(mailbox: &mut Mailbox) -> Option<AgentCommand> {
    let command = tokio::select! {
        biased;
        () = mailbox.cancel.cancelled() => None,
        command = mailbox.commands.recv() => command,
    };
    command.filter(|command| !matches!(command, AgentCommand::Stop { .. }))
}

async fn echo(mailbox: &mut Mailbox) {
    while let Some(command) = next_command(mailbox).await {
        if let AgentCommand::Audio(samples) = command
            && !mailbox.deliver(AgentEvent::Audio(samples)).await
        {
            return;
        }
    }
}

/// A sound, and what comes after it.
struct Playing {
    source: Source,
    hang_up_after: bool,
}

enum Source {
    Tone {
        tone: Box<Tone>,
        samples_left: Option<usize>,
    },
    Clip {
        samples: Vec<i16>,
        at: usize,
    },
}

impl Source {
    /// The next frame, shorter at the end; `None` after it.
    fn next(&mut self, frame_samples: usize) -> Option<Vec<i16>> {
        match self {
            Self::Tone { tone, samples_left } => {
                let length = samples_left.map_or(frame_samples, |left| left.min(frame_samples));
                if let Some(left) = samples_left {
                    *left -= length;
                    // The last frame falls silent softly.
                    if *left == 0 {
                        tone.stop();
                    }
                }
                let mut frame = vec![0; length];
                tone.fill(&mut frame);
                Some(frame)
            }
            Self::Clip { samples, at } => {
                let from = (*at).min(samples.len());
                *at = (from + frame_samples).min(samples.len());
                Some(samples[from..*at].to_vec())
            }
        }
        .filter(|frame| !frame.is_empty())
    }
}

impl Playing {
    async fn run(mut self, rate: SampleRate, frame_ms: u16, mailbox: &mut Mailbox) {
        let frame_samples = rate.samples_in_ms(frame_ms.into());
        for _ in 0..FRAMES_AHEAD {
            if !self.play(frame_samples, mailbox).await {
                return self.wait_for_end(mailbox).await;
            }
        }
        let mut frames = frames(frame_ms);
        loop {
            tokio::select! {
                biased;
                command = next_command(mailbox) => if command.is_none() {
                    return;
                },
                _ = frames.tick() => if !self.play(frame_samples, mailbox).await {
                    return self.wait_for_end(mailbox).await;
                },
            }
        }
    }

    /// Gives the next frame; `false` when there is none.
    async fn play(&mut self, frame_samples: usize, mailbox: &Mailbox) -> bool {
        match self.source.next(frame_samples) {
            Some(frame) => mailbox.deliver(AgentEvent::Audio(frame)).await,
            None => false,
        }
    }

    /// Stays until the call is over, which `hang_up_after` brings about.
    async fn wait_for_end(self, mailbox: &mut Mailbox) {
        if !mailbox.deliver(AgentEvent::Mark(END_MARK.to_owned())).await {
            return;
        }
        let mut hanging_up = self.hang_up_after;
        let latest = Instant::now() + END_TIMEOUT;
        loop {
            let heard = tokio::select! {
                biased;
                command = next_command(mailbox) => match command {
                    None => return,
                    Some(AgentCommand::MarkPlayed { name, .. }) => name == END_MARK,
                    Some(AgentCommand::Cleared { marks, .. }) => marks.iter().any(|name| name == END_MARK),
                    Some(_) => false,
                },
                () = sleep_until(latest), if hanging_up => true,
            };
            if heard && hanging_up {
                hanging_up = false;
                if !mailbox
                    .deliver(AgentEvent::HangUp {
                        reason: Some("everything was played".to_owned()),
                    })
                    .await
                {
                    return;
                }
            }
        }
    }
}

/// Ticks once per frame. A tick that comes late is followed by the next at once, so that the sound stays in time.
fn frames(frame_ms: u16) -> Interval {
    let mut frames = interval(Duration::from_millis(frame_ms.into()));
    frames.set_missed_tick_behavior(MissedTickBehavior::Burst);
    frames
}

async fn playing(spec: &AgentSpec, limits: &AgentLimits) -> Result<Option<Playing>, BuiltinError> {
    let (parameters, rate) = (&spec.parameters, spec.effective_sample_rate());
    let source = match spec.protocol {
        Protocol::Tone => tone(parameters, rate)?,
        Protocol::Play => Source::Clip {
            samples: clip(parameters, rate, limits).await?,
            at: 0,
        },
        Protocol::MediaStreams | Protocol::Strowger | Protocol::Echo => return Ok(None),
    };
    let hang_up_after = match parameters.get("hang_up_after") {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().ok_or(BuiltinError::Parameter("hang_up_after"))?,
    };
    Ok(Some(Playing { source, hang_up_after }))
}

fn tone(parameters: &Map<String, Value>, rate: SampleRate) -> Result<Source, BuiltinError> {
    let frequency_hz = number(parameters, "frequency_hz", |hz| {
        hz >= 20.0 && hz < f64::from(rate.hz()) / 2.0
    })?;
    let level_dbfs = number(parameters, "level_dbfs", |dbfs| (-60.0..=0.0).contains(&dbfs))?;
    let duration_ms = number(parameters, "duration_ms", |ms| (1.0..=86_400_000.0).contains(&ms))?;
    let tone = Tone::new(rate, frequency_hz.unwrap_or(TONE_HZ), level_dbfs.unwrap_or(TONE_DBFS));
    // A day of milliseconds at most, and at least one.
    let samples_left = duration_ms.map(|ms| rate.samples_in_ms(ms as u32));
    Ok(Source::Tone {
        tone: Box::new(tone),
        samples_left,
    })
}

fn number(
    parameters: &Map<String, Value>,
    name: &'static str,
    fits: impl Fn(f64) -> bool,
) -> Result<Option<f64>, BuiltinError> {
    match parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|number| fits(*number))
            .map(Some)
            .ok_or(BuiltinError::Parameter(name)),
    }
}

async fn clip(
    parameters: &Map<String, Value>,
    rate: SampleRate,
    limits: &AgentLimits,
) -> Result<Vec<i16>, BuiltinError> {
    let file = match parameters.get("file") {
        None | Some(Value::Null) => return Ok(chime(rate)),
        Some(file) => file.as_str().ok_or(BuiltinError::Parameter("file"))?.to_owned(),
    };
    let folder = limits.media_folder.clone().ok_or(BuiltinError::NoFolder)?;
    let missing = BuiltinError::NoFile(file.clone());
    // Files are read outside of the media path's threads.
    tokio::task::spawn_blocking(move || load(&folder, file, rate))
        .await
        .unwrap_or(Err(missing))
}

fn load(folder: &Path, file: String, rate: SampleRate) -> Result<Vec<i16>, BuiltinError> {
    let plain = Path::new(&file)
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    // Resolved, because a link inside the folder may lead out of it.
    let path = plain
        .then(|| Some((folder.canonicalize().ok()?, folder.join(&file).canonicalize().ok()?)))
        .flatten();
    let path = match path {
        Some((folder, path)) if path.starts_with(&folder) && path.is_file() => path,
        _ => return Err(BuiltinError::NoFile(file)),
    };
    read(&path, rate).map_err(|reason| BuiltinError::NotPlayable { file, reason })
}

fn read(path: &Path, rate: SampleRate) -> Result<Vec<i16>, String> {
    let mut reader = WavReader::open(path).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    let from = SampleRate::try_from(spec.sample_rate).map_err(|error| error.to_string())?;
    let channels = usize::from(spec.channels);
    if channels == 0 || reader.len() as usize / channels > CLIP_SAMPLES_MAX {
        return Err("it is too long".to_owned());
    }
    let samples: Result<Vec<f64>, hound::Error> = match spec.sample_format {
        SampleFormat::Float => reader
            .samples::<f32>()
            .map(|sample| sample.map(|sample| f64::from(sample) * 32_768.0))
            .collect(),
        SampleFormat::Int => {
            let scale = 2_f64.powi(16 - i32::from(spec.bits_per_sample));
            reader
                .samples::<i32>()
                .map(|sample| sample.map(|sample| f64::from(sample) * scale))
                .collect()
        }
    };
    let samples = samples.map_err(|error| error.to_string())?;
    // The cast saturates, which is what too loud a file deserves.
    let mono: Vec<i16> = samples
        .chunks(channels)
        .map(|frame| (frame.iter().sum::<f64>() / channels as f64).round() as i16)
        .collect();
    if from == rate {
        return Ok(mono);
    }
    let (mut resampler, mut resampled) = (Resampler::new(from, rate), Vec::new());
    resampler.process(&mono, &mut resampled);
    resampler.flush(&mut resampled);
    Ok(resampled)
}

/// Three notes that begin softly and fade, twice.
fn chime(rate: SampleRate) -> Vec<i16> {
    let mut samples = Vec::new();
    for _ in 0..2 {
        for hz in CHIME_HZ {
            let mut note = vec![0; rate.samples_in_ms(CHIME_NOTE_MS)];
            Tone::new(rate, hz, TONE_DBFS).fill(&mut note);
            let length = note.len() as f64;
            for (place, sample) in note.iter_mut().enumerate() {
                *sample = (f64::from(*sample) * (1.0 - place as f64 / length).powf(SQRT_2)).round() as i16;
            }
            samples.extend(note);
        }
        samples.resize(samples.len() + rate.samples_in_ms(CHIME_PAUSE_MS), 0);
    }
    samples
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hound::{WavSpec, WavWriter};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::super::DialError;
    use super::super::{AgentLink, Dial, connect};
    use super::*;

    /// Built-in agents need no connection.
    struct Nowhere;

    impl Dial for Nowhere {
        async fn dial(&self, _url: &url::Url) -> Result<tokio::net::TcpStream, DialError> {
            Err(DialError::Host)
        }

        fn tls(&self) -> std::sync::Arc<rustls::ClientConfig> {
            unreachable!("nobody dials")
        }
    }

    fn link(protocol: Protocol, parameters: &Value, limits: AgentLimits) -> AgentLink {
        let spec = AgentSpec {
            protocol,
            url: None,
            sample_rate: SampleRate::Hz16000,
            headers: Vec::new(),
            parameters: parameters.as_object().unwrap().clone(),
        };
        let call = AgentCall {
            call_id: "1".to_owned(),
            direction: "inbound",
            caller: String::new(),
            callee: String::new(),
            frame_ms: 20,
            capabilities: Vec::new(),
        };
        connect(spec, call, limits, Nowhere)
    }

    async fn started(protocol: Protocol, parameters: &Value, limits: AgentLimits) -> AgentLink {
        let mut link = link(protocol, parameters, limits);
        assert_eq!(link.events.recv().await, Some(AgentEvent::Connected));
        link.commands.send(AgentCommand::Start).await.unwrap();
        link
    }

    async fn sound(events: &mut mpsc::Receiver<AgentEvent>) -> Vec<i16> {
        let mut sound = Vec::new();
        loop {
            match events.recv().await.unwrap() {
                AgentEvent::Audio(samples) => sound.extend(samples),
                AgentEvent::Mark(name) if name == END_MARK => return sound,
                other => panic!("{other:?}"),
            }
        }
    }

    fn folder_with(files: &[(&str, WavSpec, &[i16])]) -> (tempfile::TempDir, AgentLimits) {
        let folder = tempfile::tempdir().unwrap();
        let media = folder.path().join("media");
        fs::create_dir(&media).unwrap();
        for (name, spec, samples) in files {
            let mut writer = WavWriter::create(folder.path().join(name), *spec).unwrap();
            for sample in *samples {
                writer.write_sample(*sample).unwrap();
            }
            writer.finalize().unwrap();
        }
        (
            folder,
            AgentLimits {
                media_folder: Some(media),
                ..AgentLimits::default()
            },
        )
    }

    fn wav(channels: u16, sample_rate: u32) -> WavSpec {
        WavSpec {
            channels,
            sample_rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn echo_says_back_what_it_hears_once_the_call_started() {
        let mut link = link(Protocol::Echo, &json!({}), AgentLimits::default());
        assert_eq!(link.events.recv().await, Some(AgentEvent::Connected));
        for command in [
            AgentCommand::Audio(vec![1]),
            AgentCommand::Start,
            AgentCommand::Audio(vec![2]),
            AgentCommand::Dtmf('1'),
        ] {
            link.commands.send(command).await.unwrap();
        }
        link.commands.send(AgentCommand::Audio(vec![3])).await.unwrap();
        assert_eq!(link.events.recv().await, Some(AgentEvent::Audio(vec![2])));
        assert_eq!(link.events.recv().await, Some(AgentEvent::Audio(vec![3])));
        link.commands
            .send(AgentCommand::Stop { reason: String::new() })
            .await
            .unwrap();
        assert_eq!(link.events.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tone_sounds_in_real_time_for_as_long_as_it_shall() {
        let begun = Instant::now();
        let mut link = started(
            Protocol::Tone,
            &json!({"duration_ms": 1010, "level_dbfs": -6}),
            AgentLimits::default(),
        )
        .await;
        let sound = sound(&mut link.events).await;
        assert_eq!(sound.len(), 16_160);
        let peak = sound.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((16_000..=16_500).contains(&peak), "{peak}");
        assert!(
            sound[16_155..].iter().all(|sample| sample.abs() < 2_000),
            "the end clicks"
        );
        let lasted = begun.elapsed();
        assert!(
            lasted >= Duration::from_millis(900) && lasted <= Duration::from_millis(1_100),
            "{lasted:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_tone_without_duration_goes_on_until_the_call_is_over() {
        let mut link = started(Protocol::Tone, &json!({}), AgentLimits::default()).await;
        for _ in 0..500 {
            assert!(matches!(link.events.recv().await, Some(AgentEvent::Audio(samples)) if samples.len() == 320));
        }
        link.finish().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_chime_is_followed_by_a_hang_up_once_it_was_heard() {
        let mut link = started(Protocol::Play, &json!({"hang_up_after": true}), AgentLimits::default()).await;
        let chime = sound(&mut link.events).await;
        assert_eq!(chime.len(), 2 * (3 * 280 + 400) * 16);
        assert!(link.events.try_recv().is_err());
        link.commands
            .send(AgentCommand::MarkPlayed {
                name: END_MARK.to_owned(),
                heard_ms: 2_480,
            })
            .await
            .unwrap();
        assert!(matches!(link.events.recv().await, Some(AgentEvent::HangUp { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_mark_does_not_keep_the_line_open() {
        let mut link = started(Protocol::Play, &json!({"hang_up_after": true}), AgentLimits::default()).await;
        sound(&mut link.events).await;
        let begun = Instant::now();
        assert!(matches!(link.events.recv().await, Some(AgentEvent::HangUp { .. })));
        assert!(begun.elapsed() >= END_TIMEOUT);
    }

    #[tokio::test]
    async fn a_file_is_mixed_to_mono_and_resampled() {
        let stereo = [1_000_i16, 3_000].repeat(160);
        let (_folder, limits) = folder_with(&[
            ("media/a.wav", wav(2, 16_000), &stereo),
            ("media/b.wav", wav(1, 8_000), &[500; 1_600]),
        ]);
        let mut link = started(Protocol::Play, &json!({"file": "a.wav"}), limits.clone()).await;
        assert_eq!(sound(&mut link.events).await, [2_000; 160]);
        let mut link = started(Protocol::Play, &json!({"file": "b.wav"}), limits).await;
        let resampled = sound(&mut link.events).await;
        assert!(resampled.len().abs_diff(3_200) <= 160, "{}", resampled.len());
        assert!((495..=505).contains(&resampled[1_600]), "{}", resampled[1_600]);
    }

    #[tokio::test]
    async fn only_files_of_the_media_folder_are_played() {
        let (folder, limits) = folder_with(&[
            ("secret.wav", wav(1, 8_000), &[1]),
            ("media/odd.wav", wav(1, 11_025), &[1]),
        ]);
        std::os::unix::fs::symlink(folder.path().join("secret.wav"), folder.path().join("media/link.wav")).unwrap();
        fs::write(folder.path().join("media/text.wav"), "not a wav").unwrap();
        let outside = folder.path().join("secret.wav").to_str().unwrap().to_owned();
        for file in [
            "../secret.wav",
            "link.wav",
            "none.wav",
            "odd.wav",
            "text.wav",
            ".",
            "",
            &outside,
        ] {
            let mut link = link(Protocol::Play, &json!({"file": file}), limits.clone());
            let Some(AgentEvent::Failed { reason }) = link.events.recv().await else {
                panic!("{file} is played")
            };
            assert!(
                file == outside || !reason.contains(folder.path().to_str().unwrap()),
                "{reason}"
            );
        }
        let mut link = link(Protocol::Play, &json!({"file": "a.wav"}), AgentLimits::default());
        assert!(matches!(link.events.recv().await, Some(AgentEvent::Failed { .. })));
    }

    #[tokio::test]
    async fn wrong_parameters_are_named() {
        for (protocol, parameters, name) in [
            (Protocol::Tone, json!({"frequency_hz": 8_000}), "frequency_hz"),
            (Protocol::Tone, json!({"level_dbfs": 3}), "level_dbfs"),
            (Protocol::Tone, json!({"duration_ms": "long"}), "duration_ms"),
            (Protocol::Play, json!({"file": 3}), "file"),
            (Protocol::Play, json!({"hang_up_after": "yes"}), "hang_up_after"),
        ] {
            let mut link = link(protocol, &parameters, AgentLimits::default());
            let Some(AgentEvent::Failed { reason }) = link.events.recv().await else {
                panic!("{parameters} is accepted")
            };
            assert!(reason.contains(name), "{reason}");
        }
    }
}
