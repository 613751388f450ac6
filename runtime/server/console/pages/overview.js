// What happens now, what needs somebody, and on an empty installation the way to a first call.

import { fill, h, link } from '../dom.js';
import { ago, count, shortDigest } from '../format.js';
import { callTable } from '../call_parts.js';
import { watchCalls } from '../live.js';
import { readNames } from '../names.js';
import { empty, heading, linkButton, section } from '../parts.js';

/** So many past calls are shown here; the others are on their own page. */
const LATEST = 5;

export async function page({ api, signal }) {
  const [names, providers, endpoints, last] = await Promise.all([
    readNames(api, signal),
    api.list('/organizations/telephony-providers', 'providers', { signal }),
    api.may('admin') ? api.list('/webhook-endpoints', 'webhook_endpoints', { signal }) : [],
    api.page('/calls', { limit: LATEST, state: 'completed' }, { signal }),
  ]);
  const live = h('div', null);
  const liveCount = h('span', null, '…');
  watchCalls(api, signal, (calls) => {
    liveCount.textContent = count(calls.length);
    fill(live, calls.length ? callTable('Calls in progress', calls, names) : empty('No call is in progress', 'Calls appear here as soon as they begin.'));
  });
  const steps = firstSteps(api, names, last.calls.length > 0);
  const attention = needs(names.configurations, providers, endpoints);
  return [
    heading('Overview', { actions: api.may('operate') && !steps ? [linkButton('#/calls/new', 'Place a test call', 'primary')] : [] }),
    steps,
    attention.length
      ? section('Needs attention', h('ul', { class: 'plain' }, attention.map(([where, text, why]) => h('li', null, link(where, text), ': ', why))))
      : steps ? null : h('div', { class: 'note good' }, h('p', null, 'Everything that was set up is ready.')),
    section(['Calls in progress: ', liveCount], live),
    last.calls.length ? section('Latest calls', callTable('Latest calls', last.calls, names), h('p', { class: 'actions' }, linkButton('#/calls', 'All calls'))) : null,
  ];
}

/** Nothing once there was a call. */
function firstSteps(api, { agents, configurations }, called) {
  if (called) return null;
  const numbers = configurations.some((each) => each.phone_number_count > 0);
  const first = configurations[0];
  const admin = api.may('admin');
  const steps = [
    [agents.length > 0, 'Create an agent', 'The program that talks with callers. To begin with, take the built-in echo: it says back what it hears.', admin && linkButton('#/agents/new', 'Create an agent', 'primary')],
    [configurations.length > 0, 'Connect a carrier', 'Choose who carries your telephone calls, and enter the account there.', admin && linkButton('#/configurations/new', 'Choose a carrier', 'primary')],
    [numbers, 'Add a phone number', 'A number of that account, with the agent that answers it.', admin && first && linkButton(`#/configurations/${first.id}`, 'Add a number', 'primary')],
    [called, 'Make the first call', 'Call the number from any telephone, or let your agent call you.', api.may('operate') && configurations.length > 0 && agents.length > 0 && linkButton('#/calls/new', 'Place a test call', 'primary')],
  ];
  const current = steps.findIndex(([done]) => !done);
  return section('Four steps to a first call', h('ol', { class: 'steps' }, steps.map(([done, title, text, action], index) =>
    h('li', { class: done ? 'done' : '' },
      h('span', { class: 'mark', 'aria-hidden': 'true' }, done ? '✓' : index + 1),
      h('div', null, h('p', null, h('strong', null, title), done ? h('span', { class: 'faint' }, ' – done') : null), done ? null : h('p', { class: 'faint' }, text)),
      index === current ? action : null))));
}

/** `[where, what, why]` of everything that does not work as it is. */
function needs(configurations, providers, endpoints) {
  const list = [];
  for (const each of configurations) {
    const where = `#/configurations/${each.id}`;
    if (each.inactive) list.push([where, each.name, `switched off. ${each.inactive_reason ?? ''}`]);
    else if (!each.is_ready_for_outbound) list.push([where, each.name, `places no calls yet. ${each.outbound_blocked_reason ?? ''}`]);
  }
  for (const provider of providers) {
    for (const version of provider.versions.filter((version) => version.quarantined_at)) {
      list.push([`#/providers/${provider.provider}`, `${provider.provider} ${version.version}`, `was set aside (${shortDigest(version.digest)}). ${version.fault?.reason ?? ''}`]);
    }
  }
  for (const endpoint of endpoints) {
    const why = endpoint.disabled_reason ? `gets no events any more. ${endpoint.disabled_reason}` : endpoint.failing_since ? ['has not taken events, since ', ago(endpoint.failing_since)] : null;
    if (why) list.push([`#/webhooks/${endpoint.id}`, endpoint.description || endpoint.url, why]);
  }
  return list;
}
