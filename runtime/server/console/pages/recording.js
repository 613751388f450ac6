// The recording of a call: both voices as a waveform, what happened when, a player, and how long each stage took.

import { h, svg } from '../dom.js';
import { sentence, some, words } from '../format.js';
import { section } from '../parts.js';

const POINTS = 800;
const HEIGHT = 200;
/** Each voice swings around the middle of its own half. */
const MIDDLES = [50, 150];
/** Of 1/128 of full scale. Speech seldom fills it. */
const SCALE = 48 / 128;
const MARKS_SHOWN = 60;

const MARKS = { barge_in: 'Barge-in', mark: 'Mark', dtmf: 'Key pressed' };

export async function recordingSection(api, path, call, signal) {
  if (!call.has_recording) return null;
  const audio = h('audio', { controls: true, preload: 'metadata', src: api.address(`${path}/recording`), 'aria-label': 'Recording of the call' });
  let waveform;
  try {
    waveform = await api.page(`${path}/waveform`, { points: POINTS }, { signal });
  } catch (problem) {
    if (problem.status === 404) return null;
    throw problem;
  }
  const seek = (milliseconds) => {
    audio.currentTime = milliseconds / 1000;
  };
  return [
    section('Recording', legend(waveform), picture(waveform, audio, seek), audio, markList(waveform, seek)),
    latencies(waveform.latencies),
  ];
}

function legend({ marks }) {
  const has = (kind) => marks.some((mark) => mark.kind === kind);
  const entry = (kind, text) => h('li', null, h('span', { class: `swatch ${kind}` }), text);
  return h('ul', { class: 'legend' }, entry('caller', 'Caller, left'), entry('agent', 'Agent, right'),
    has('barge_in') && entry('barge-in', 'Barge-in'), (has('mark') || has('dtmf')) && entry('point', 'Marks and keys'));
}

/** The outline of one voice, closed along its lowest samples. */
function outline({ min, max }, middle) {
  const y = (value) => (middle - value * SCALE).toFixed(1);
  const above = max.map((value, index) => `${index} ${y(value)}`);
  const below = min.map((value, index) => `${index} ${y(value)}`).reverse();
  return `M${above.join('L')}L${below.join('L')}Z`;
}

function picture({ channels, duration_ms: total, marks, turns }, audio, seek) {
  const points = channels[0].max.length;
  const x = (milliseconds) => ((milliseconds / Math.max(total, 1)) * points).toFixed(1);
  const cursor = svg('line', { class: 'cursor', x1: 0, x2: 0, y1: 0, y2: HEIGHT, 'vector-effect': 'non-scaling-stroke' });
  const spoken = (who) => turns.filter((turn) => turn.who === who).length;
  const drawing = svg('svg', {
    class: 'waveform', viewBox: `0 0 ${points} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': `Waveform of both voices: the caller spoke ${some(spoken('caller'), 'time')}, the agent ${some(spoken('agent'), 'time')}`,
  },
  MIDDLES.map((middle) => svg('line', { class: 'axis', x1: 0, x2: points, y1: middle, y2: middle, 'vector-effect': 'non-scaling-stroke' })),
  channels.map((channel, index) => svg('path', { class: channel.name, d: outline(channel, MIDDLES[index]) })),
  marks.map((mark) => svg('line', { class: mark.kind === 'barge_in' ? 'barge-in' : 'point', x1: x(mark.at_ms), x2: x(mark.at_ms), y1: 0, y2: HEIGHT, 'vector-effect': 'non-scaling-stroke' }, svg('title', null, `${MARKS[mark.kind] ?? mark.kind}: ${mark.label}`))),
  cursor);
  drawing.addEventListener('click', (event) => {
    const { left, width } = drawing.getBoundingClientRect();
    seek(((event.clientX - left) / width) * total);
  });
  const follow = () => {
    const at = x(audio.currentTime * 1000);
    cursor.setAttribute('x1', at);
    cursor.setAttribute('x2', at);
    if (!audio.paused && drawing.isConnected) requestAnimationFrame(follow);
  };
  for (const event of ['play', 'seeked', 'timeupdate']) audio.addEventListener(event, follow);
  return drawing;
}

/** What the lines in the picture are, for those who do not see it or want to listen there. */
function markList({ marks }, seek) {
  if (!marks.length) return null;
  return h('details', null, h('summary', null, `${some(marks.length, 'mark')} on the recording`),
    h('ul', { class: 'plain' }, marks.slice(0, MARKS_SHOWN).map((mark) => h('li', null,
      h('button', { type: 'button', class: 'button small', onclick: () => seek(mark.at_ms) }, `Go to ${(mark.at_ms / 1000).toFixed(1)} s`), ' ',
      MARKS[mark.kind] ?? words(mark.kind), mark.label ? h('span', { class: 'faint' }, ` ${mark.label}`) : null))));
}

const STAGES = {
  webhook: 'Webhook answered', media_socket: 'Media socket opened', media_start: 'Media began', agent_connect: 'Agent connected',
  first_word: 'Agent’s first word', response: 'Agent’s answer',
};

function latencies(list) {
  if (!list?.length) return null;
  const longest = Math.max(...list.map((each) => each.duration_ms), 1);
  return section('Latency of each stage', h('dl', { class: 'bars' }, list.map((each) => {
    const name = STAGES[each.stage] ?? sentence(words(each.stage));
    return h('div', null, h('dt', null, name, each.label ? h('span', { class: 'faint' }, ` ${each.label}`) : null),
      h('dd', null, h('progress', { max: longest, value: each.duration_ms, 'aria-label': name })),
      h('dd', { class: 'number' }, `${each.duration_ms} ms`));
  })));
}
