// The phone numbers of an account: who answers them, and whether the carrier knows.

import { h, link } from '../dom.js';
import { createForm } from '../form.js';
import { announce, badge, button, confirmDialog, dialog, empty, note, section, table } from '../parts.js';

export function numbersSection({ api, path, numbers, agents, configuration, refresh }) {
  const admin = api.may('admin');
  const trunks = configuration.trunks ?? [];
  const agentName = (id) => agents.find((agent) => agent.id === id)?.name;
  const name = (number) => number.label || number.address;

  /** What the carrier said stays on the screen until it was read: it is about calls that may not arrive. */
  const told = async (number) => {
    const sync = number.provider_sync;
    refresh();
    if (!sync) return announce(`Saved ${name(number)}.`);
    if (sync.ok && !sync.message) return announce(`Saved ${name(number)}. The carrier sends its calls where they belong.`);
    await confirmDialog({
      title: sync.ok ? 'Saved; one thing is left to you' : 'Saved, but the carrier was not told',
      body: h('div', null, note(sync.ok ? 'warn' : 'bad', h('p', null, sync.message ?? 'The carrier could not be asked.')), h('p', null, sync.ok ? 'The number is kept as you entered it.' : 'The number is kept. Its calls may not arrive until the carrier is told: save it again when the carrier can be reached.')),
      confirm: null, cancel: 'Close',
    });
  };

  const common = () => [
    { name: 'label', label: 'Label', type: 'text', placeholder: 'Front desk' },
    { name: 'inbound_agent_id', label: 'Answered by', type: 'select', none: 'Nobody', options: agents.map((agent) => ({ value: agent.id, label: agent.name })), description: 'The agent that takes calls to this number.' },
    trunks.length && { name: 'telephony_trunk_id', label: 'Trunk', type: 'select', none: 'Any', options: trunks.map((trunk) => ({ value: trunk.id, label: trunk.name })) },
    { name: 'is_active', label: 'In use', type: 'boolean', description: 'A number that is not in use takes no calls and is never shown as the caller.' },
  ].filter(Boolean);

  const add = () => dialog('Add a phone number', (close) => h('div', null, agents.length ? null : note('', h('p', null, 'There is no agent yet that could answer it. ', link('#/agents/new', 'Create one', { onclick: () => close() }), ' first, or add the number now and choose later.')), createForm({
    fields: [
      { name: 'address', label: 'Number', type: 'text', required: true, placeholder: '+14155550123', description: 'With + and the country’s code. A SIP address or an extension where the carrier has such.' },
      ...common(),
      { name: 'country_code', label: 'Country', type: 'text', placeholder: 'US', description: 'Two letters, only for a number that is written without its country’s code.' },
      { name: 'is_default_caller_id', label: 'Show it on outbound calls by default', type: 'boolean' },
    ],
    values: { is_active: true, is_default_caller_id: !numbers.length, inbound_agent_id: agents.length === 1 ? agents[0].id : '' },
    submit: 'Add number',
    onCancel: () => close(),
    onSubmit: async (values) => {
      const made = await api.post(`${path}/phone-numbers`, values);
      close(true);
      await told(made);
    },
  })));

  const edit = (number) => dialog(`Number ${number.address}`, (close) => createForm({
    fields: [{ name: 'address', label: 'Number', type: 'readonly' }, ...common()],
    values: number,
    submit: 'Save',
    onCancel: () => close(),
    onSubmit: async ({ inbound_agent_id: agent, telephony_trunk_id: trunk, ...values }) => {
      const body = { ...values };
      if (agent) body.inbound_agent_id = agent;
      else if (number.inbound_agent_id) body.clear_inbound_agent = true;
      if (trunk) body.telephony_trunk_id = trunk;
      else if (number.telephony_trunk_id) body.clear_trunk = true;
      const changed = await api.put(`${path}/phone-numbers/${number.id}`, body);
      close(true);
      await told(changed);
    },
  }));

  const remove = async (number) => {
    const body = number.inbound_agent_id ? `Calls to it no longer reach ${agentName(number.inbound_agent_id) ?? 'an agent'}. The carrier is told first; the number itself stays yours there.` : 'It can then not be shown on outbound calls. At the carrier it stays yours.';
    if (!(await confirmDialog({ title: `Delete ${name(number)}?`, body, confirm: 'Delete number' }))) return;
    await api.delete(`${path}/phone-numbers/${number.id}`);
    announce(`Deleted ${name(number)}.`);
    refresh();
  };

  const addButton = admin ? button('Add a number', add, { kind: numbers.length ? '' : 'primary' }) : null;
  if (!numbers.length) return section('Phone numbers', empty('No phone number yet', 'Add a number of this account, so that it can be called, and shown on outbound calls.', addButton));
  return section('Phone numbers', table('Phone numbers', [
    { title: 'Number', cell: (number) => [h('strong', null, number.address_normalized ?? number.address), number.label ? h('div', { class: 'faint' }, number.label) : null] },
    { title: 'Answered by', cell: (number) => (number.inbound_agent_id ? link(`#/agents/${number.inbound_agent_id}`, agentName(number.inbound_agent_id) ?? 'removed') : h('span', { class: 'faint' }, 'nobody')) },
    { title: 'State', cell: (number) => [number.is_active ? badge('good', 'In use') : badge('', 'Not in use'), ' ', number.is_default_caller_id ? badge('', 'Default caller') : null] },
    trunks.length && { title: 'Trunk', cell: (number) => trunks.find((trunk) => trunk.id === number.telephony_trunk_id)?.name ?? '—' },
    admin && { title: '', cell: (number) => h('span', { class: 'actions' },
      button('Change', () => edit(number), { kind: 'small', 'aria-label': `Change ${name(number)}` }),
      !number.is_default_caller_id && number.is_active && button('Make default caller', async () => {
        await api.post(`${path}/phone-numbers/${number.id}/set-default-caller`);
        announce(`Outbound calls show ${name(number)}.`);
        refresh();
      }, { kind: 'small', 'aria-label': `Make ${name(number)} the default caller` }),
      button('Delete', () => remove(number), { kind: 'small danger', 'aria-label': `Delete ${name(number)}` })) },
  ].filter(Boolean), numbers), h('p', { class: 'actions' }, addButton));
}
