// Calls: those in progress as they happen, and the records of those that are over.

import { fill, h } from '../dom.js';
import { callTable } from '../call_parts.js';
import { watchCalls } from '../live.js';
import { readNames } from '../names.js';
import { empty, heading, linkButton, paged, section } from '../parts.js';

const PAGE_ROWS = 25;

export async function page({ api, signal, query, go }) {
  const names = await readNames(api, signal);
  const live = h('div', null);
  const past = h('div', null);
  const filter = { direction: query.get('direction') ?? '', agent_id: query.get('agent') ?? '' };

  const readPast = async () => {
    fill(past, await paged(async (cursor) => {
      const answer = await api.page('/calls', { ...filter, state: 'completed', limit: PAGE_ROWS, cursor }, { signal });
      return { rows: answer.calls, next: answer.next_cursor };
    }, (rows) => callTable('Past calls', rows, names),
    filter.direction || filter.agent_id
      ? empty('No call fits', 'Choose another direction or agent.')
      : empty('There was no call yet', 'Call one of your numbers, or place a test call.', api.may('operate') ? linkButton('#/calls/new', 'Place a test call') : null)));
  };
  await readPast();

  let before = null;
  watchCalls(api, signal, (calls) => {
    fill(live, calls.length ? callTable('Calls in progress', calls, names) : h('p', { class: 'faint' }, 'No call is in progress. Calls appear here as soon as they begin.'));
    // A call that has ended since belongs into the list below.
    const now = new Set(calls.map((call) => call.id));
    if (before && [...before].some((id) => !now.has(id))) readPast();
    before = now;
  });

  const select = (label, name, parameter, options) => h('label', null, label, h('select', { onchange: (event) => {
    const next = new URLSearchParams(query);
    if (event.target.value) next.set(parameter, event.target.value);
    else next.delete(parameter);
    // The address keeps the choice, so that going back from a call shows the same list.
    history.replaceState(null, '', `#/calls${next.size ? `?${next}` : ''}`);
    query = next;
    filter[name] = event.target.value;
    readPast();
  } }, h('option', { value: '' }, 'All'), options.map(([value, text]) => h('option', { value, selected: filter[name] === value }, text))));

  return [
    heading('Calls', { actions: api.may('operate') ? [linkButton('#/calls/new', 'Place a test call', 'primary')] : [] }),
    section('In progress', live),
    section('Past calls',
      h('div', { class: 'filters' },
        select('Direction', 'direction', 'direction', [['inbound', 'Inbound'], ['outbound', 'Outbound']]),
        select('Agent', 'agent_id', 'agent', names.agents.map((agent) => [agent.id, agent.name]))),
      past),
  ];
}
