// One agent: making and changing it.

import { h } from '../dom.js';
import { createForm } from '../form.js';
import { announce, button, confirmDialog, facts, heading, linkButton, section } from '../parts.js';
import { time } from '../format.js';

const PROTOCOLS = [
  ['strowger', 'Strowger – your program, with barge-in, marks and transfers', true],
  ['media-streams', 'Media streams – a program made for a carrier’s media stream', true],
  ['echo', 'Echo – built in: says back what it hears', false],
  ['tone', 'Tone – built in: plays a tone', false],
  ['play', 'Play – built in: plays a file from the gateway’s folder', false],
];

export async function page({ api, signal, names, go }) {
  const agent = names.agent ? await api.get(`/agents/${names.agent}`, { signal }) : null;
  const back = { href: '#/agents', text: 'Agents' };
  if (agent && !api.may('admin')) return [heading(agent.name, { back }), api.may('operate') && section('Try it', h('p', { class: 'actions' }, tryOut(agent))), section('Settings', facts(shown(agent)))];
  const others = agent ? 1 : (await api.page('/agents', { limit: 1 }, { signal })).agents.length;
  const remote = PROTOCOLS.filter(([, , needsUrl]) => needsUrl).map(([name]) => name);
  const form = createForm({
    fields: [
      { name: 'name', label: 'Name', type: 'text', required: true, placeholder: 'Front desk' },
      { name: 'protocol', label: 'Protocol', type: 'select', required: true, options: PROTOCOLS.map(([value, label]) => ({ value, label })), description: 'How the gateway talks with the agent. To hear whether a line works, take Echo: it needs no program of yours.' },
      { name: 'url', label: 'Address', type: 'text', required: true, placeholder: 'wss://agent.example.com/socket', description: 'The WebSocket that the gateway opens for each call.', visible_when: { field: 'protocol', among: remote } },
      { name: 'sample_rate_hz', label: 'Sample rate', type: 'select', description: 'Of the audio between gateway and agent. Telephone lines carry 8 kHz; most speech models take 16 or 24 kHz.', options: [8000, 16000, 24000, 48000].map((rate) => ({ value: String(rate), label: `${rate / 1000} kHz` })), visible_when: { field: 'protocol', equals: 'strowger' } },
      { name: 'record', label: 'Record calls', type: 'boolean', description: 'Both sides, on the gateway’s disk. Callers may have to be told.' },
      { name: 'headers', label: 'Headers', type: 'json', section: 'Advanced', description: 'Sent when the WebSocket is opened, as JSON, such as {"authorization": "Bearer …"}. Kept sealed; what is stored shows as a mask, and a mask that stays keeps its value.' },
      { name: 'parameters', label: 'Parameters', type: 'json', section: 'Advanced', description: 'Passed on to the agent at the start of every call, as JSON.', placeholder: '{"language": "en"}' },
    ],
    values: agent ? { ...agent, sample_rate_hz: String(agent.sample_rate_hz) } : { sample_rate_hz: '16000' },
    submit: agent ? 'Save' : 'Create agent',
    onCancel: () => go('/agents'),
    onSubmit: async (values) => {
      const body = bodyOf(values);
      if (agent) await api.put(`/agents/${agent.id}`, body, { etag: agent.etag });
      else await api.post('/agents', body);
      announce(agent ? `Saved ${values.name}.` : `Created ${values.name}.`);
      // The first one is a step of several: the overview shows the next.
      go(agent || others > 0 ? '/agents' : '/');
    },
  });
  return [
    heading(agent ? agent.name : 'Create an agent', { back }),
    agent && section('Try it', h('p', { class: 'actions' }, tryOut(agent))),
    section('Settings', form),
    agent && section('Remove', h('p', null, 'Numbers that this agent answers must be given to another one first. The records of its calls stay.'),
      button('Delete agent', async () => {
        if (!(await confirmDialog({ title: `Delete ${agent.name}?`, body: 'No call can take this agent any more. This cannot be taken back.', confirm: 'Delete agent' }))) return;
        await api.delete(`/agents/${agent.id}`);
        announce(`Deleted ${agent.name}.`);
        go('/agents');
      }, { kind: 'danger' })),
  ];
}

/** The ways to hear it: at once from here, or on a telephone. */
const tryOut = (agent) => [linkButton(`#/talk?agent=${agent.id}`, 'Talk to it here'), linkButton(`#/calls/new?agent=${agent.id}`, 'Have it call you')];

/** What was emptied is said, too: what is left out stays as it was. */
function bodyOf({ sample_rate_hz: rate, headers = {}, parameters = {}, ...values }) {
  return { ...values, headers, parameters, ...(rate ? { sample_rate_hz: Number(rate) } : {}) };
}

const shown = (agent) => [
  ['Protocol', agent.protocol], ['Address', agent.url ?? 'built in'], ['Sample rate', `${agent.sample_rate_hz} Hz`],
  ['Records calls', agent.record ? 'yes' : 'no'], ['Headers', Object.keys(agent.headers).join(', ')], ['Created', time(agent.created_at)],
];
