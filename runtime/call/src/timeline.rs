//! One call as a picture: what was said, and what happened around it, on one time axis.
//!
//! [`Timeline::to_svg`] is a pure function from a finished call's facts to a standalone SVG document: no script, no
//! external font or style, the same bytes for the same input. It is for people, who find in it in a second what they would
//! otherwise read out of two logs: who spoke when, how late the agent was, what the caller heard before a barge-in.
//!
//! It draws what it is given. Numbers and names in titles and labels must be redacted by whoever writes them.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Entries that are drawn. More would be a grey band: a call has about one in ten seconds.
const ENTRIES_MAX: usize = 400;
/// Rows of labels in one lane. What finds no place is drawn without its label, which a browser shows on hovering.
const ROWS_MAX: usize = 6;
/// Longest label or title line that is drawn, in characters.
const LABEL_CHARS_MAX: usize = 48;
const TITLE_CHARS_MAX: usize = 120;

const WIDTH: f64 = 1200.0;
const PLOT_LEFT: f64 = 124.0;
const PLOT_RIGHT: f64 = WIDTH - 36.0;
const ROW_HEIGHT: f64 = 22.0;
const LANE_PADDING: f64 = 8.0;
const WAVE_HEIGHT: f64 = 96.0;
const LABEL_SIZE: f64 = 11.5;
/// From one bar of a waveform to the next.
const BAR_PITCH: f64 = 3.0;

const INK: &str = "#1c2530";
const MUTED: &str = "#66717f";
const GRID: &str = "#e7eaee";
const PAPER: &str = "#ffffff";
const BAND: &str = "#f7f8fa";
const CALLER: &str = "#2f6db5";
const AGENT: &str = "#13806a";
const ALARM: &str = "#c23a2b";

/// The facts of one call, ready to be drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The heading, and lines below it.
    pub title: Vec<String>,
    /// From the beginning of the call, which is 0 on the axis, to its end, in milliseconds.
    pub duration_ms: u64,
    /// How loud both sides were.
    pub levels: Levels,
    /// What happened, in any order.
    pub entries: Vec<Entry>,
}

/// Loudness of both sides of a call over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// What one value covers, in milliseconds.
    pub window_ms: u32,
    /// When the first value begins, in milliseconds from the beginning of the call.
    pub start_ms: u64,
    /// The caller's, from 0 for silence to 255 for full scale.
    pub caller: Vec<u8>,
    /// The agent's, as the caller heard it.
    pub agent: Vec<u8>,
}

/// What happened at a time or during one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What sort of thing; it decides where and in which colour it is drawn.
    pub kind: Kind,
    /// When it happened or began, in milliseconds from the beginning of the call.
    pub from_ms: u64,
    /// When it was over; nothing for what has no duration.
    pub to_ms: Option<u64>,
    /// What is written beside it.
    pub label: String,
}

/// What sort of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A request of the carrier to us, with the time that we took to answer.
    Webhook,
    /// A status that the carrier reported.
    Status,
    /// The time of ringing.
    Ringing,
    /// The call was answered.
    Answered,
    /// Something about the carrier's media.
    Media,
    /// A key was pressed.
    Dtmf,
    /// Playback reached a mark of the agent's.
    Mark,
    /// Something about the agent's connection.
    Agent,
    /// The agent spoke.
    AgentSpeaking,
    /// The caller spoke over the agent.
    BargeIn,
    /// The call was hung up.
    HangUp,
    /// Something went wrong.
    Fault,
}

impl Entry {
    /// Something at a time.
    pub fn point(kind: Kind, at_ms: u64, label: impl Into<String>) -> Self {
        Self {
            kind,
            from_ms: at_ms,
            to_ms: None,
            label: label.into(),
        }
    }

    /// Something that took a time.
    pub fn span(kind: Kind, from_ms: u64, to_ms: u64, label: impl Into<String>) -> Self {
        Self {
            kind,
            from_ms,
            to_ms: Some(to_ms),
            label: label.into(),
        }
    }

    /// A webhook that was answered `latency_ms` after it came.
    pub fn webhook(at_ms: u64, latency_ms: u64, name: &str) -> Self {
        Self::span(
            Kind::Webhook,
            at_ms,
            at_ms.saturating_add(latency_ms),
            format!("{name} · {latency_ms} ms"),
        )
    }

    /// A barge-in that cut an utterance of which `heard_ms` had been heard.
    pub fn barge_in(at_ms: u64, heard_ms: u64) -> Self {
        Self::point(Kind::BargeIn, at_ms, format!("barge-in · {heard_ms} ms heard"))
    }
}

impl Timeline {
    /// Draws the call as an SVG document.
    pub fn to_svg(&self) -> String {
        let scale = Scale::of(self);
        let lanes = Lane::ALL.map(|lane| self.placed(lane, &scale));

        // Vertical layout, from the top.
        let title_lines = self.title.len().clamp(1, 5);
        let lanes_top = 44.0 + 19.0 * (title_lines - 1) as f64 + 18.0;
        let mut y = lanes_top;
        let lane_tops = [0, 1, 2].map(|lane: usize| {
            let top = y;
            y += lanes[lane].height();
            top
        });
        let waves_top = y + 10.0;
        let axis_y = waves_top + 2.0 * WAVE_HEIGHT + 10.0;
        let height = axis_y + 44.0;

        let mut svg = Svg::default();
        svg.open(height, self.title.first().map_or("Call", String::as_str), &scale);
        self.draw_title(&mut svg);
        for (index, lane) in Lane::ALL.into_iter().enumerate() {
            svg.lane_background(
                lane.name(),
                None,
                lane_tops[index],
                lanes[index].height(),
                index % 2 == 0,
            );
        }
        svg.lane_background("Caller", Some(CALLER), waves_top, WAVE_HEIGHT, true);
        svg.lane_background("Agent", Some(AGENT), waves_top + WAVE_HEIGHT, WAVE_HEIGHT, false);
        svg.grid(&scale, lanes_top, axis_y);
        svg.after_the_end(&scale, lanes_top, axis_y);
        self.draw_speech(&mut svg, &scale, waves_top + WAVE_HEIGHT);
        svg.wave(
            &self.levels.caller,
            &self.levels,
            &scale,
            waves_top + WAVE_HEIGHT / 2.0,
            CALLER,
        );
        svg.wave(
            &self.levels.agent,
            &self.levels,
            &scale,
            waves_top + 1.5 * WAVE_HEIGHT,
            AGENT,
        );
        for (index, lane) in lanes.iter().enumerate() {
            for item in &lane.items {
                svg.guide(item, lane_tops[index] + lane.row_y(item.row), axis_y);
            }
        }
        for (index, lane) in lanes.iter().enumerate() {
            for item in &lane.items {
                svg.item(item, lane_tops[index] + lane.row_y(item.row));
            }
        }
        svg.axis(&scale, axis_y);
        if self.entries.len() > ENTRIES_MAX {
            let left_out = self.entries.len() - ENTRIES_MAX;
            let note = format!("{left_out} later entries are not drawn");
            svg.text(PLOT_RIGHT, height - 8.0, "end", 11.0, 400, MUTED, &note);
        }
        svg.close()
    }

    /// The entries of a lane, each with a place that no other label needs.
    fn placed(&self, lane: Lane, scale: &Scale) -> Placed<'_> {
        let mut entries: Vec<&Entry> = self
            .drawn()
            .into_iter()
            .filter(|entry| entry.kind.lane() == lane)
            .collect();
        // Speech first, so that it has a row to itself and reads as one line. Stable, so that equal times keep their order.
        entries.sort_by_key(|entry| (entry.kind != Kind::AgentSpeaking, entry.from_ms, entry.to_ms));

        // What is taken of each row, from where to where.
        let mut rows: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            let label = shortened(&entry.label, LABEL_CHARS_MAX);
            let label_width = text_width(&label, LABEL_SIZE);
            let x = scale.x(entry.from_ms);
            let x_end = entry.to_ms.map_or(x, |to_ms| scale.x(to_ms).max(x));
            let bar = entry.to_ms.map(|_| (x_end - x).max(3.0));
            let side = match bar {
                Some(width) if width >= label_width + 14.0 => Side::Inside,
                _ if x_end + 10.0 + label_width <= PLOT_RIGHT + 24.0 => Side::Right,
                _ => Side::Left,
            };
            let (left, right) = match side {
                Side::Inside => (x, x_end),
                Side::Right => (x - 5.0, x + bar.unwrap_or(5.0) + 7.0 + label_width),
                Side::Left => (x - 9.0 - label_width, x + bar.unwrap_or(5.0)),
            };
            let is_free = |row: &Vec<(f64, f64)>| row.iter().all(|(from, to)| to + 8.0 <= left || right + 8.0 <= *from);
            let row = rows.iter().position(is_free).or_else(|| {
                rows.push(Vec::new());
                (rows.len() <= ROWS_MAX).then_some(rows.len() - 1)
            });
            rows.truncate(ROWS_MAX);
            if let Some(row) = row {
                rows[row].push((left, right));
            }
            let label = row.is_some().then_some((label, side));
            items.push(Item {
                entry,
                x,
                bar,
                label,
                row: row.unwrap_or(ROWS_MAX - 1),
            });
        }
        Placed {
            items,
            rows: rows.len().max(1),
        }
    }

    fn drawn(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.from_ms);
        entries.truncate(ENTRIES_MAX);
        entries
    }

    fn draw_title(&self, svg: &mut Svg) {
        for (index, line) in self.title.iter().take(5).enumerate() {
            let line = shortened(line, TITLE_CHARS_MAX);
            if index == 0 {
                svg.text(24.0, 40.0, "start", 19.0, 650, INK, &line);
            } else {
                svg.text(24.0, 44.0 + 19.0 * index as f64, "start", 12.5, 400, MUTED, &line);
            }
        }
    }

    /// Shades the agent's lane while it speaks, so that a pause of the agent and silence in its speech look different.
    fn draw_speech(&self, svg: &mut Svg, scale: &Scale, top: f64) {
        for entry in self.drawn() {
            if let (Kind::AgentSpeaking, Some(to_ms)) = (entry.kind, entry.to_ms) {
                let (x, end) = (scale.x(entry.from_ms), scale.x(to_ms));
                svg.rect(x, top + 6.0, (end - x).max(1.0), WAVE_HEIGHT - 12.0, 4.0, AGENT, 0.08);
            }
        }
    }
}

impl Kind {
    fn lane(self) -> Lane {
        match self {
            Self::Webhook | Self::Status | Self::Ringing | Self::Answered | Self::HangUp => Lane::Carrier,
            Self::Media | Self::Dtmf | Self::Mark | Self::Fault => Lane::Media,
            Self::Agent | Self::AgentSpeaking | Self::BargeIn => Lane::Agent,
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Webhook => "#7a5195",
            Self::Status => "#55606d",
            Self::Ringing => "#b7791f",
            Self::Answered => "#2b8a3e",
            Self::Media | Self::Dtmf => CALLER,
            Self::Mark => "#0b7285",
            Self::Agent | Self::AgentSpeaking => AGENT,
            Self::BargeIn | Self::HangUp | Self::Fault => ALARM,
        }
    }

    /// Whether a line goes down through the waveforms, for what explains them.
    fn has_guide(self) -> bool {
        matches!(self, Self::Answered | Self::BargeIn | Self::HangUp | Self::Fault)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Carrier,
    Media,
    Agent,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Carrier, Self::Media, Self::Agent];

    fn name(self) -> &'static str {
        match self {
            Self::Carrier => "Carrier",
            Self::Media => "Media",
            Self::Agent => "Agent link",
        }
    }
}

/// The entries of one lane with their places.
struct Placed<'a> {
    items: Vec<Item<'a>>,
    rows: usize,
}

impl Placed<'_> {
    fn height(&self) -> f64 {
        self.rows as f64 * ROW_HEIGHT + 2.0 * LANE_PADDING
    }

    /// The middle of a row, from the lane's top.
    fn row_y(&self, row: usize) -> f64 {
        LANE_PADDING + (row.min(self.rows - 1) as f64 + 0.5) * ROW_HEIGHT
    }
}

struct Item<'a> {
    entry: &'a Entry,
    x: f64,
    /// Width of the bar of what took a time.
    bar: Option<f64>,
    label: Option<(String, Side)>,
    row: usize,
}

/// Where a label is, seen from its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Left,
    Right,
}

/// From milliseconds to the picture's units.
struct Scale {
    /// What the axis covers. It is more than the call: a status callback comes after the end.
    span_ms: u64,
    duration_ms: u64,
}

impl Scale {
    fn of(timeline: &Timeline) -> Self {
        let ends = timeline
            .drawn()
            .into_iter()
            .map(|entry| entry.to_ms.unwrap_or(entry.from_ms).max(entry.from_ms));
        let span_ms = ends.chain([timeline.duration_ms, 1_000]).max().unwrap_or(1_000);
        Self {
            span_ms,
            duration_ms: timeline.duration_ms,
        }
    }

    fn x(&self, ms: u64) -> f64 {
        PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * (ms as f64 / self.span_ms as f64).min(1.0)
    }

    /// Milliseconds from one tick of the axis to the next, so that there are at most fourteen.
    fn tick_ms(&self) -> u64 {
        const STEPS_MS: [u64; 15] = [
            100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
            3_600_000,
        ];
        let wanted = self.span_ms / 14;
        STEPS_MS
            .into_iter()
            .find(|step| *step >= wanted)
            .unwrap_or_else(|| wanted.div_ceil(3_600_000) * 3_600_000)
    }

    fn ticks(&self) -> impl Iterator<Item = u64> {
        let (step, span_ms) = (self.tick_ms(), self.span_ms);
        std::iter::successors(Some(0_u64), move |ms| ms.checked_add(step)).take_while(move |ms| *ms <= span_ms)
    }

    /// A tick's label: seconds, or minutes and seconds where seconds would be too many to read.
    fn tick_label(&self, ms: u64) -> String {
        let (seconds, tenths) = (ms / 1_000, ms % 1_000 / 100);
        if self.span_ms > 180_000 {
            format!("{}:{:02}", seconds / 60, seconds % 60)
        } else if self.tick_ms() < 1_000 {
            format!("{seconds}.{tenths} s")
        } else {
            format!("{seconds} s")
        }
    }
}

/// The document as it grows.
#[derive(Default)]
struct Svg(String);

impl Svg {
    /// Appends markup. Writing to a `String` does not fail, so there is no error to pass on.
    fn put(&mut self, markup: std::fmt::Arguments<'_>) {
        let _infallible = self.0.write_fmt(markup);
    }

    fn open(&mut self, height: f64, title: &str, scale: &Scale) {
        let title = escaped(&shortened(title, TITLE_CHARS_MAX));
        let seconds = scale.duration_ms as f64 / 1_000.0;
        self.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, Inter, \
             'Helvetica Neue', sans-serif\">\n\
             <title>{title}</title>\n<desc>Timeline of a call of {seconds:.1} seconds</desc>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{PAPER}\"/>\n",
        ));
    }

    fn close(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    #[expect(clippy::too_many_arguments, reason = "these are the attributes of a text element")]
    fn text(&mut self, x: f64, y: f64, anchor: &str, size: f64, weight: u32, fill: &str, text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" font-weight=\"{weight}\" \
             fill=\"{fill}\">{text}</text>\n",
        ));
    }

    #[expect(clippy::too_many_arguments, reason = "these are the attributes of a rectangle")]
    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, radius: f64, fill: &str, opacity: f64) {
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\" \
             fill=\"{fill}\" fill-opacity=\"{opacity}\"/>\n",
        ));
    }

    fn lane_background(&mut self, name: &str, colour: Option<&str>, top: f64, height: f64, shaded: bool) {
        if shaded {
            self.rect(0.0, top, WIDTH, height, 0.0, BAND, 1.0);
        }
        let middle = top + height / 2.0;
        if let Some(colour) = colour {
            self.put(format_args!(
                "<circle cx=\"28\" cy=\"{middle:.1}\" r=\"4\" fill=\"{colour}\"/>\n"
            ));
        }
        let x = if colour.is_some() { 40.0 } else { 24.0 };
        self.text(x, middle + 4.0, "start", 12.0, 600, INK, name);
    }

    fn grid(&mut self, scale: &Scale, top: f64, bottom: f64) {
        let mut path = String::new();
        for ms in scale.ticks() {
            let _infallible = write!(path, "M{:.1} {top:.1}V{bottom:.1}", scale.x(ms));
        }
        self.put(format_args!("<path d=\"{path}\" stroke=\"{GRID}\" fill=\"none\"/>\n"));
    }

    /// Dims what lies behind the end of the call.
    fn after_the_end(&mut self, scale: &Scale, top: f64, bottom: f64) {
        let x = scale.x(scale.duration_ms);
        if PLOT_RIGHT - x >= 1.0 {
            self.rect(x, top, WIDTH - x, bottom - top, 0.0, MUTED, 0.07);
        }
    }

    fn wave(&mut self, values: &[u8], levels: &Levels, scale: &Scale, middle: f64, colour: &str) {
        self.put(format_args!(
            "<path d=\"M{PLOT_LEFT} {middle:.1}H{PLOT_RIGHT}\" stroke=\"{colour}\" stroke-opacity=\"0.25\"/>\n",
        ));
        let bars = ((PLOT_RIGHT - PLOT_LEFT) / BAR_PITCH) as usize;
        let mut loudest = vec![0_u8; bars];
        let window_ms = u64::from(levels.window_ms.max(1));
        for (index, value) in values.iter().enumerate() {
            // A window that is wider than a bar fills all the bars it covers.
            let from_ms = levels.start_ms.saturating_add(window_ms.saturating_mul(index as u64));
            if from_ms >= scale.span_ms {
                break;
            }
            let bar_at = |ms: u64| ((ms as f64 / scale.span_ms as f64) * bars as f64) as usize;
            let first = bar_at(from_ms).min(bars - 1);
            let last = bar_at(from_ms.saturating_add(window_ms - 1)).clamp(first, bars - 1);
            for bar in &mut loudest[first..=last] {
                *bar = (*bar).max(*value);
            }
        }
        let mut path = String::new();
        for (bar, value) in loudest.into_iter().enumerate().filter(|(_, value)| *value > 0) {
            let x = PLOT_LEFT + (bar as f64 + 0.5) * BAR_PITCH;
            let half = (f64::from(value) / 255.0 * (WAVE_HEIGHT / 2.0 - 8.0)).max(0.6);
            let _infallible = write!(path, "M{x:.1} {:.1}V{:.1}", middle - half, middle + half);
        }
        if !path.is_empty() {
            self.put(format_args!(
                "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1.9\" stroke-linecap=\"round\" fill=\"none\"/>\n",
            ));
        }
    }

    fn guide(&mut self, item: &Item<'_>, y: f64, bottom: f64) {
        if item.entry.kind.has_guide() {
            let (x, colour) = (item.x, item.entry.kind.colour());
            self.put(format_args!(
                "<path d=\"M{x:.1} {y:.1}V{bottom:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.55\" \
                 stroke-dasharray=\"3 3\"/>\n",
            ));
        }
    }

    fn item(&mut self, item: &Item<'_>, y: f64) {
        let colour = item.entry.kind.colour();
        let seconds = item.entry.from_ms as f64 / 1_000.0;
        let hover = escaped(&shortened(&item.entry.label, TITLE_CHARS_MAX));
        self.put(format_args!("<g><title>{hover} ({seconds:.3} s)</title>\n"));
        match item.bar {
            Some(width) => {
                let inside = matches!(item.label, Some((_, Side::Inside)));
                self.rect(item.x, y - 8.5, width, 17.0, 4.0_f64.min(width / 2.0), colour, if inside { 0.16 } else { 0.75 });
            }
            None => self.put(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\" stroke=\"{PAPER}\" stroke-width=\"1.5\"/>\n",
                item.x,
            )),
        }
        if let Some((label, side)) = &item.label {
            let (x, anchor) = match side {
                Side::Inside => (item.x + 7.0, "start"),
                Side::Right => (item.x + item.bar.map_or(8.0, |width| width + 6.0), "start"),
                Side::Left => (item.x - 8.0, "end"),
            };
            let label = escaped(label);
            // A guide may pass behind; a rim of paper keeps the letters apart from it. On a bar it would be a smudge.
            let rim = match side {
                Side::Inside => String::new(),
                Side::Left | Side::Right => format!(
                    " stroke=\"{PAPER}\" stroke-width=\"3\" stroke-opacity=\"0.85\" stroke-linejoin=\"round\" \
                     paint-order=\"stroke\""
                ),
            };
            self.put(format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"{LABEL_SIZE}\" font-weight=\"500\" \
                 fill=\"{colour}\"{rim}>{label}</text>\n",
                y + 4.0,
            ));
        }
        self.0.push_str("</g>\n");
    }

    fn axis(&mut self, scale: &Scale, y: f64) {
        self.put(format_args!(
            "<path d=\"M{PLOT_LEFT} {y:.1}H{PLOT_RIGHT}\" stroke=\"{MUTED}\"/>\n"
        ));
        for ms in scale.ticks() {
            let x = scale.x(ms);
            self.put(format_args!("<path d=\"M{x:.1} {y:.1}v5\" stroke=\"{MUTED}\"/>\n"));
            self.text(x, y + 19.0, "middle", 11.0, 400, MUTED, &scale.tick_label(ms));
        }
    }
}

/// About how wide a text is, in the picture's units, erring on the wide side: the reader's font is not known.
fn text_width(text: &str, size: f64) -> f64 {
    let ems: f64 = text
        .chars()
        .map(|char| match char {
            'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '·' => 0.36,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.95,
            'A'..='Z' => 0.72,
            char if char.is_ascii() => 0.6,
            // Latin with accents is no wider than without; beyond it are scripts of full width.
            char if char < '\u{0370}' => 0.62,
            _ => 1.05,
        })
        .sum();
    ems * size
}

fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max - 1).collect();
    short.push('…');
    short
}

/// The text as XML character data or attribute value. What XML 1.0 cannot say at all becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            // Overrides of direction could make a label read as another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests;
