// How calls are shown in lists.

import { h, link } from './dom.js';
import { duration, sentence, time, words } from './format.js';
import { badge, table } from './parts.js';

const GOOD = ['completed'];
const NEUTRAL = ['busy', 'no-answer', 'canceled'];

/** Where a call has come to, or how it ended. */
export function callState(call) {
  if (call.state === 'initialized') return badge('live warn', call.direction === 'outbound' ? 'Dialling' : 'Connecting');
  if (call.state === 'running') return badge('live good', 'In progress');
  const status = call.outcome?.status ?? 'completed';
  return badge(GOOD.includes(status) ? 'good' : NEUTRAL.includes(status) ? 'warn' : 'bad', sentence(words(status)));
}

/** Who is at the carrier's end. */
export const party = (call) => (call.direction === 'inbound' ? (call.caller ?? 'withheld') : call.callee);

export function callTable(caption, calls, names) {
  return table(caption, [
    { title: 'With', cell: (call) => link(`#/calls/${call.id}`, party(call)) },
    { title: 'Direction', cell: (call) => sentence(call.direction) },
    { title: 'State', cell: callState },
    { title: 'Agent', cell: (call) => names.agent(call.agent_id) },
    { title: 'Over', cell: (call) => names.configuration(call.telephony_configuration_id) },
    { title: 'Began', cell: (call) => time(call.created_at) },
    { title: 'Length', kind: 'number', cell: (call) => (call.state === 'completed' ? duration(call.duration_ms) : h('span', { class: 'faint' }, '—')) },
  ], calls);
}
