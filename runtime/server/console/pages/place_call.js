// A test call: an agent calls somebody, and the page of the call follows it.

import { createForm } from '../form.js';
import { announce, empty, heading, linkButton, section } from '../parts.js';

export async function page({ api, signal, query, go }) {
  const [agents, all, providers] = await Promise.all([
    api.list('/agents', 'agents', { signal }),
    api.list('/organizations/telephony-configs', 'configurations', { signal }),
    api.list('/organizations/telephony-providers/metadata', 'providers', { signal }),
  ]);
  const head = heading('Place a test call', { back: { href: '#/calls', text: 'Calls' }, lead: 'The agent calls a telephone of yours. The carrier charges it like any other call.' });
  const usable = all.filter((each) => !each.inactive && providers.find((provider) => provider.provider === each.provider)?.abilities.includes('calling'));
  if (!agents.length) return [head, empty('There is no agent yet', 'An agent talks with whoever answers.', api.may('admin') ? linkButton('#/agents/new', 'Create an agent', 'primary') : null)];
  if (!usable.length) return [head, empty('No account can place calls', 'Connect a carrier that places calls, or reactivate one that is switched off.', linkButton('#/configurations', 'Go to the carriers', 'primary'))];

  const numbers = new Map();
  const numbersOf = async (configuration) => {
    if (!configuration) return [];
    if (!numbers.has(configuration)) {
      const list = await api.list(`/organizations/telephony-configs/${configuration}/phone-numbers`, 'phone_numbers', { signal });
      numbers.set(configuration, list.filter((number) => number.is_active));
    }
    return numbers.get(configuration);
  };

  const asked = (list, name) => list.find((each) => each.id === query.get(name));
  const chosen = asked(usable, 'over') ?? usable.find((each) => each.is_default_outbound && each.is_ready_for_outbound) ?? usable.find((each) => each.is_ready_for_outbound) ?? usable[0];
  // The numbers of every account at once: a choice appears with the account that it belongs to.
  const lists = await Promise.all(usable.map((each) => numbersOf(each.id)));
  const form = createForm({
    fields: [
      { name: 'agent_id', label: 'Agent', type: 'select', required: true, options: agents.map((agent) => ({ value: agent.id, label: agent.name })) },
      { name: 'phone_number', label: 'Call', type: 'text', required: true, placeholder: '+14155550123', description: 'A number with + and the country’s code, or what your telephone system dials.' },
      { name: 'telephony_configuration_id', label: 'Over', type: 'select', required: true, options: usable.map((each) => ({ value: each.id, label: each.is_ready_for_outbound ? each.name : `${each.name} (not ready)` })) },
      ...usable.map((each, index) => ({
        name: `from_${each.id}`, label: 'Show the number', type: 'select', none: 'Default caller', visible_when: { field: 'telephony_configuration_id', equals: each.id },
        description: 'What the callee sees. Without a choice it is the default caller.',
        options: lists[index].map((number) => ({ value: number.id, label: number.label ? `${number.address} (${number.label})` : number.address })),
      })),
      { name: 'ring_timeout_s', label: 'Let it ring for', type: 'number', description: 'Seconds, 5 to 120; 45 if nothing is entered.' },
    ],
    values: { agent_id: (asked(agents, 'agent') ?? (agents.length === 1 ? agents[0] : null))?.id ?? '', telephony_configuration_id: chosen.id },
    submit: 'Call',
    onCancel: () => go('/calls'),
    onSubmit: async (values) => {
      const body = {};
      for (const [name, value] of Object.entries(values)) body[name.startsWith('from_') ? 'from_phone_number_id' : name] = value;
      // The same key for the same click: a repetition by the network places no second call.
      const placed = await api.post('/telephony/initiate-call', body, { headers: { 'idempotency-key': crypto.randomUUID() } });
      announce('The call is being placed.');
      go(`/calls/${placed.call_id}`);
    },
  });
  return [head, section('The call', form)];
}
