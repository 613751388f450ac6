// One call: how it goes or went, from the carrier's and the agent's side.

import { fill, h } from '../dom.js';
import { createForm } from '../form.js';
import { clock, duration, sentence, time, words } from '../format.js';
import { callState, party } from '../call_parts.js';
import { watchCalls } from '../live.js';
import { readNames } from '../names.js';
import { announce, button, confirmDialog, copyable, dialog, facts, heading, note, paged, section, table } from '../parts.js';
import { invocationsSection } from './invocations.js';
import { recordingSection } from './recording.js';

const EVENT_ROWS = 100;
const FOLLOW_MS = 1500;

export async function page({ api, signal, names, refresh }) {
  const path = `/calls/${names.call}`;
  const [call, known] = await Promise.all([api.get(path, { signal }), readNames(api, signal)]);
  const over = call.state === 'completed';
  const summary = h('div', null);
  const events = h('div', null);
  const actions = h('div', { class: 'actions' });
  const draw = (now) => {
    fill(summary, facts(summaryOf(now, known)), transfersOf(now));
    fill(actions, now.state === 'completed' || !api.may('operate') ? null : controls(api, path, now));
  };
  draw(call);
  if (over) {
    fill(events, await eventsOf(api, path, signal));
  } else {
    follow(api, path, call, signal, draw, events, refresh);
  }
  return [
    heading(`${call.direction === 'inbound' ? 'Call from' : 'Call to'} ${party(call)}`, { back: { href: '#/calls', text: 'Calls' }, actions: [actions] }),
    section('Summary', summary),
    over ? await recordingSection(api, path, call, signal) : null,
    over ? section('Timeline', timeline(api, path)) : note('', h('p', null, 'The call is in progress: this page follows it. Picture, recording and costs come when it is over.')),
    section('Events', events),
    over ? await invocationsSection(api, path, signal) : null,
  ];
}

function summaryOf(call, known) {
  const outcome = call.outcome;
  return [
    ['State', callState(call)],
    ['Why it ended', outcome?.reason ? [sentence(words(outcome.reason)), outcome.detail ? h('div', { class: 'faint' }, outcome.detail) : null] : null],
    ['Caller', call.caller ?? 'withheld'],
    ['Called', call.callee],
    ['Agent', call.agent_id ? h('a', { href: `#/agents/${call.agent_id}` }, known.agent(call.agent_id)) : '—'],
    ['Over', call.telephony_configuration_id ? h('a', { href: `#/configurations/${call.telephony_configuration_id}` }, known.configuration(call.telephony_configuration_id)) : call.provider],
    ['Began', time(call.created_at)],
    ['Answered', call.answered_at ? time(call.answered_at) : null],
    ['Ended', call.ended_at ? time(call.ended_at) : null],
    ['Length', call.duration_ms === null ? null : duration(call.duration_ms)],
    ['Cost', call.cost ? `${call.cost.amount} ${call.cost.currency}` : null],
    ['Answered by', call.answered_by ? words(call.answered_by) : null],
    ['Call at the carrier', call.provider_call_id ? copyable(call.provider_call_id, 'the carrier’s identifier') : null],
    ['Call here', copyable(call.id, 'the identifier')],
  ];
}

function transfersOf(call) {
  if (!call.transfers?.length) return null;
  return [h('h3', null, 'Transfers'), table('Transfers', [
    { title: 'To', cell: (transfer) => transfer.destination },
    { title: 'State', cell: (transfer) => sentence(words(transfer.reason ?? transfer.state)) },
    { title: 'Began', cell: (transfer) => time(transfer.created_at) },
    { title: 'Connected', cell: (transfer) => time(transfer.connected_at) },
    { title: 'Ended', cell: (transfer) => time(transfer.ended_at) },
  ], call.transfers)];
}

function controls(api, path, call) {
  const waiting = call.transfers?.some((transfer) => transfer.state === 'dialing');
  return [
    call.state === 'running' && !waiting && button('Transfer', () => dialog('Transfer the caller', (close) => createForm({
      fields: [
        { name: 'destination', label: 'To', type: 'text', required: true, placeholder: '+14155550123', description: 'Who the caller is connected with. The agent leaves when they answer.' },
        { name: 'announcement', label: 'Announcement', type: 'textarea', description: 'Said to the one who answers, where the carrier can speak.' },
        { name: 'hold', label: 'The caller hears meanwhile', type: 'select', options: [{ value: 'ringback', label: 'Ringing' }, { value: 'silence', label: 'Silence' }, { value: 'agent', label: 'The agent' }] },
      ],
      submit: 'Transfer',
      onCancel: () => close(),
      onSubmit: async (values) => {
        await api.post(`${path}/transfer`, values);
        close();
        announce('The destination is being called.');
      },
    }))),
    waiting && button('Withdraw the transfer', async () => {
      await api.delete(`${path}/transfer`);
      announce('The transfer was withdrawn.');
    }),
    button('Hang up', async () => {
      if (!(await confirmDialog({ title: 'End this call?', body: 'The caller hears that the line is closed.', confirm: 'Hang up' }))) return;
      await api.post(`${path}/hang-up`);
      announce('The call is being ended.');
    }, { kind: 'danger' }),
  ];
}

const EVENT_COLUMNS = [
  { title: 'What', cell: (event) => sentence(words(event.kind)) },
  { title: 'At', cell: (event) => clock(event.at) },
  { title: 'Detail', cell: (event) => pairsOf(event.detail).map(([name, value]) => `${words(name)}: ${value}`).join(', ') },
];

/** The names and values of a detail, whatever it is nested in; what says nothing is left out. */
function pairsOf(detail, name = null) {
  if (detail === null || detail === undefined || detail === false || name === 'type') return [];
  if (typeof detail !== 'object') return [[name ?? 'detail', detail]];
  return Object.entries(detail).flatMap(([inner, value]) => pairsOf(value, inner));
}

const eventsOf = (api, path, signal) => paged(async (cursor) => {
  const answer = await api.page(`${path}/events`, { limit: EVENT_ROWS, cursor }, { signal });
  return { rows: answer.events, next: answer.next_cursor };
}, (rows) => table('Events of the call', EVENT_COLUMNS, rows), h('p', { class: 'faint' }, 'Nothing was noted.'));

/** Draws a live call again whenever it changes, and its events as they come; the whole page once it is over. */
function follow(api, path, first, signal, draw, events, refresh) {
  let timer = null;
  let ended = false;
  const look = async () => {
    clearTimeout(timer);
    try {
      const [call, list] = await Promise.all([api.get(path, { signal }), api.list(`${path}/events`, 'events', { signal })]);
      if (signal.aborted) return;
      if (call.state === 'completed') {
        ended = true;
        announce('The call has ended.');
        refresh();
        return;
      }
      draw(call);
      fill(events, list.length ? table('Events of the call', EVENT_COLUMNS, list) : h('p', { class: 'faint' }, 'Nothing yet.'));
    } catch {
      // Asked again below.
    }
    if (!signal.aborted && !ended) timer = setTimeout(look, FOLLOW_MS);
  };
  signal.addEventListener('abort', () => clearTimeout(timer));
  // The stream tells at once what the timer would find a moment later.
  watchCalls(api, signal, () => (ended ? null : look()));
  look();
}

function timeline(api, path) {
  const place = h('div', { class: 'picture-scroll', tabindex: '0', role: 'group', 'aria-label': 'Picture of the call' });
  // A picture of a data address runs nothing, whatever is in its labels.
  place.append(h('img', {
    class: 'picture', src: api.address(`${path}/timeline.svg`), alt: 'The course of the call over time: webhooks, media, what agent and caller said, and the latencies between them',
    onerror: () => fill(place, h('p', { class: 'faint' }, 'There is no picture of this call: it ended before anything happened.')),
  }));
  return place;
}
