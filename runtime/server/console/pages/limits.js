// What this organisation may do, and how much of it is in use.

import { h } from '../dom.js';
import { count, duration, time } from '../format.js';
import { badge, facts, heading, meter, section, table } from '../parts.js';

export async function page({ api, signal }) {
  const [limits, usage] = await Promise.all([
    api.get('/organization/limits', { signal }),
    api.get('/organization/usage', { signal }),
  ]);
  const own = (name) => (limits.set_by_operator.includes(name) ? [' ', badge('', 'set for you')] : null);
  const numbers = await numbersInUse(api, usage.numbers, signal);
  return [
    heading('Limits and usage', { lead: 'The operator of this gateway sets these limits. A call beyond one is refused with a reason.' }),
    section('In use now',
      meter('Calls at once', usage.calls.live, usage.calls.limit),
      meter('Calls begun in this second', Math.max(usage.calls_per_s.limit - usage.calls_per_s.available, 0), usage.calls_per_s.limit),
      numbers.length ? [h('h3', null, 'By number'), table('Calls by number', [
        { title: 'Number', cell: (number) => number.name },
        { title: 'Calls', kind: 'number', cell: (number) => count(number.live) },
        { title: 'At most', kind: 'number', cell: (number) => (number.limit === null ? '—' : count(number.limit)) },
      ], numbers)] : null),
    usage.destinations.length ? section('Outbound calls today', h('p', { class: 'help' }, 'The day ends ', time(usage.day_ends_at), '.'), table('Calls by destination', [
      { title: 'To', cell: (cap) => h('code', null, `${cap.prefix}…`) },
      { title: 'Calls', kind: 'number', cell: (cap) => ofLimit(cap.calls) },
      { title: 'Minutes', kind: 'number', cell: (cap) => ofLimit(cap.minutes) },
    ], usage.destinations)) : null,
    section('Limits', facts([
      ['Calls at once', [count(limits.calls_max), own('calls_max')]],
      ['Calls at once over a number', [limits.number_calls_max === null ? 'no limit of its own' : count(limits.number_calls_max), own('number_calls_max')]],
      ['Calls in a second', [count(limits.calls_per_s), own('calls_per_s')]],
      ['Calls in a second over a number', [count(limits.number_calls_per_s), own('number_calls_per_s')]],
      ['Calls in a second over a provider', [count(limits.provider_calls_per_s), own('provider_calls_per_s')]],
      ['Longest call', [duration(limits.call_duration_max_s * 1000), own('call_duration_max_s')]],
    ])),
    section('Destinations',
      h('p', { class: 'help' }, 'Outbound calls and transfers are refused before anything is dialled.'),
      facts([
        ['Not called', [prefixes(limits.denied_destinations, 'nothing is ruled out'), own('denied_destinations')]],
        ['Called', [limits.allowed_destinations.length ? prefixes(limits.allowed_destinations) : 'everything else', own('allowed_destinations')]],
      ])),
  ];
}

const ofLimit = ({ today, limit }) => (limit === null ? `${count(today)}` : `${count(today)} of ${count(limit)}`);

const prefixes = (list, none) => (list.length ? h('span', null, list.map((prefix, index) => [index ? ', ' : null, h('code', null, `${prefix}…`)])) : none);

/** The numbers with calls, by what people call them. */
async function numbersInUse(api, used, signal) {
  const live = used.filter((number) => number.live > 0);
  if (!live.length) return [];
  const configurations = await api.list('/organizations/telephony-configs', 'configurations', { signal });
  const lists = await Promise.all(configurations.map((each) => api.list(`/organizations/telephony-configs/${each.id}/phone-numbers`, 'phone_numbers', { signal })));
  const all = lists.flat();
  return live.map((number) => {
    const known = all.find((each) => each.id === number.phone_number_id);
    return { ...number, name: known ? known.label || known.address : 'removed' };
  });
}
