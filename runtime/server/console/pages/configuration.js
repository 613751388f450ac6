// One account at a carrier: whether it works, what is left to do, its settings, trunks and numbers.

import { fill, h, outside } from '../dom.js';
import { createForm } from '../form.js';
import { ago, shortMask, some, time } from '../format.js';
import { announce, badge, button, confirmDialog, copyable, dialog, empty, facts, heading, linkButton, note, section, table } from '../parts.js';
import { configurationState } from './configurations.js';
import { numbersSection } from './numbers.js';

export async function page({ api, signal, names, refresh, go }) {
  const path = `/organizations/telephony-configs/${names.configuration}`;
  const [configuration, providers, agents, numbers] = await Promise.all([
    api.get(path, { signal }),
    api.list('/organizations/telephony-providers/metadata', 'providers', { signal }),
    api.list('/agents', 'agents', { signal }),
    api.list(`${path}/phone-numbers`, 'phone_numbers', { signal }),
  ]);
  const provider = providers.find((each) => each.provider === configuration.provider);
  const admin = api.may('admin');
  const change = async (work, said) => {
    await work();
    announce(said);
    refresh();
  };
  const callable = configuration.is_ready_for_outbound && !configuration.inactive && agents.length > 0 && provider?.abilities.includes('calling') && api.may('operate');
  const actions = [callable && linkButton(`#/calls/new?over=${configuration.id}`, 'Place a test call'), ...(admin ? [
    configuration.inactive && button('Reactivate', () => change(() => api.post(`${path}/reactivate`), `${configuration.name} is active again.`), { kind: 'primary' }),
    !configuration.is_default_outbound && !configuration.inactive && button('Make default for outbound', () => change(() => api.post(`${path}/set-default-outbound`), `Outbound calls go over ${configuration.name} by default.`)),
  ] : [])];
  return [
    heading(configuration.name, { back: { href: '#/configurations', text: 'Carriers' }, actions }),
    configuration.inactive && note('bad', h('p', null, h('strong', null, 'This account is switched off and takes no calls'), ', since ', time(configuration.inactive_since), '.'), h('p', null, configuration.inactive_reason), h('p', null, 'Mend what it says, then reactivate it.')),
    section('State', facts([
      ['Carrier', provider?.display_name ?? `${configuration.provider} (not loaded)`],
      ['State', configurationState(configuration)],
      ['Outbound calls', configuration.is_default_outbound ? 'go over this account by default' : 'go over it when it is named'],
      ['Created', time(configuration.created_at)],
      ['Changed', ago(configuration.updated_at)],
    ])),
    checklist(configuration),
    eventSocket(configuration.event_socket),
    details(configuration.connectivity_details),
    numbersSection({ api, path, numbers, agents, configuration, refresh }),
    configuration.supports_trunks && trunksSection({ api, path, configuration, provider, refresh }),
    settings({ api, path, configuration, provider, refresh }),
    admin && section('Remove', h('p', null, 'Its credentials and settings are forgotten. The records of its calls stay.'),
      button('Delete configuration', async () => {
        const body = h('div', null,
          h('p', null, numbers.length ? `It has ${some(numbers.length, 'phone number')}: they are removed from here, and their calls no longer reach an agent. At the carrier nothing is cancelled.` : 'It has no phone numbers.'),
          configuration.is_default_outbound && h('p', null, 'It is the default for outbound calls; another account will be taken.'),
          h('p', null, 'This cannot be taken back.'));
        if (!(await confirmDialog({ title: `Delete ${configuration.name}?`, body, confirm: 'Delete configuration' }))) return;
        await api.delete(path, { etag: configuration.etag });
        announce(`Deleted ${configuration.name}.`);
        go('/configurations');
      }, { kind: 'danger' })),
  ];
}

function checklist({ setup_checklist: list, is_ready_for_outbound: ready, outbound_blocked_reason: reason }) {
  if (!list) return reason && !ready ? note('warn', h('p', null, reason)) : null;
  if (!list.steps.length) return null;
  return section('Setup',
    h('ol', { class: 'steps' }, list.steps.map((step, index) => h('li', { class: step.complete ? 'done' : '' },
      h('span', { class: 'mark', 'aria-hidden': 'true' }, step.complete ? '✓' : index + 1),
      h('div', null,
        h('p', null, h('strong', null, step.title), ' ', step.complete ? h('span', { class: 'faint' }, 'done') : step.blocks_outbound ? badge('warn', 'needed for outbound calls') : badge('', 'recommended')),
        step.complete ? null : h('p', { class: 'faint' }, step.description))))),
    list.docs_url && h('p', null, outside(list.docs_url, 'How to set it up')));
}

const SOCKET = {
  up: ['good', 'Connected'], connecting: ['warn', 'Connecting'], waiting: ['warn', 'Waiting: another gateway holds it'],
  backoff: ['bad', 'Failed, will be tried again'], parked: ['bad', 'Switched off'],
};

function eventSocket(socket) {
  if (!socket) return null;
  const [kind, text] = SOCKET[socket.state] ?? ['', socket.state];
  const failure = socket.last_failure;
  return section('Connection for events', facts([
    ['State', badge(kind, text)],
    ['Since', socket.since ? time(socket.since) : null],
    ['Last failure', failure ? [failure.message, ' ', h('span', { class: 'faint' }, `(${failure.code}, `, ago(failure.at), ')')] : null],
  ]));
}

function details(groups) {
  if (!groups?.length) return null;
  return section('To enter elsewhere', groups.map((group) => [
    h('h3', null, group.title), group.description && h('p', { class: 'help' }, group.description),
    h('dl', { class: 'facts wide' }, group.details.map(({ label, value }) => h('div', null, h('dt', null, label), h('dd', null, copyable(value, label))))),
  ]));
}

/** The provider's fields, with secrets as masks until they are replaced. */
function settings({ api, path, configuration, provider, refresh }) {
  const place = h('div', null);
  const stored = configuration.credentials ?? {};
  const fields = provider?.fields ?? [];
  const value = (field) => {
    const entered = stored[field.name];
    if (entered === undefined || entered === null || entered === '') return null;
    if (field.type === 'boolean') return entered ? 'yes' : 'no';
    if (Array.isArray(entered)) return entered.join(', ');
    if (field.sensitive) return shortMask(entered);
    return field.options?.find((option) => option.value === entered)?.label ?? String(entered);
  };
  const look = () => fill(place,
    facts([['Name', configuration.name], ...fields.map((field) => [field.label, value(field) && h(field.sensitive ? 'code' : 'span', null, value(field))])]),
    api.may('admin') && h('p', { class: 'actions' }, button('Change settings', async () => edit())));
  const edit = () => {
    const form = createForm({
      prefix: 'config.',
      fields: [{ own: true, name: 'name', label: 'Name', type: 'text', required: true }, ...fields],
      values: stored,
      own: { name: configuration.name },
      submit: 'Save',
      onCancel: look,
      onSubmit: async (config, own) => {
        const body = provider ? { ...own, config: { ...config, provider: configuration.provider } } : own;
        await api.put(path, body, { etag: configuration.etag });
        announce('Saved.');
        refresh();
      },
    });
    fill(place, provider ? null : note('warn', 'Its provider is not loaded, so only the name can be changed.'), form);
    form.querySelector('input')?.focus();
  };
  look();
  return section('Settings', place);
}

function trunksSection({ api, path, configuration, provider, refresh }) {
  const fields = provider?.trunk_fields ?? [];
  const admin = api.may('admin') && provider;
  const edit = (trunk) => dialog(trunk ? `Trunk ${trunk.name}` : 'Add a trunk', (close) => createForm({
    prefix: 'settings.',
    fields: [
      { own: true, name: 'name', label: 'Name', type: 'text', required: true, description: 'Letters, digits and hyphens; the carrier is told this name.' },
      { own: true, name: 'enabled', label: 'Calls may take it', type: 'boolean' },
      ...fields,
    ],
    values: trunk?.settings ?? {},
    own: trunk ? { name: trunk.name, enabled: trunk.enabled } : { enabled: true },
    submit: trunk ? 'Save' : 'Add trunk',
    onCancel: () => close(),
    onSubmit: async (settings, own) => {
      if (trunk) await api.put(`${path}/trunks/${trunk.id}`, { ...own, settings });
      else await api.post(`${path}/trunks`, { ...own, settings });
      close(true);
      announce(`Saved trunk ${own.name}.`);
      refresh();
    },
  }));
  const trunks = configuration.trunks ?? [];
  const add = admin ? button('Add a trunk', () => edit(null)) : null;
  return section('Trunks', trunks.length
    ? [table('Trunks', [
      { title: 'Name', cell: (trunk) => trunk.name },
      { title: 'State', cell: (trunk) => (trunk.enabled ? badge('good', 'Enabled') : badge('', 'Disabled')) },
      ...fields.filter((field) => !field.sensitive && field.type !== 'readonly').slice(0, 2).map((field) => ({ title: field.label, cell: (trunk) => [trunk.settings[field.name] ?? '—'].flat().join(', ') })),
      { title: 'Numbers', kind: 'number', cell: (trunk) => trunk.phone_number_count },
      admin && { title: '', cell: (trunk) => h('span', { class: 'actions' },
        button('Change', () => edit(trunk), { kind: 'small', 'aria-label': `Change trunk ${trunk.name}` }),
        button('Delete', async () => {
          if (!(await confirmDialog({ title: `Delete trunk ${trunk.name}?`, body: 'It is taken out of service at the carrier as well.', confirm: 'Delete trunk' }))) return;
          await api.delete(`${path}/trunks/${trunk.id}`);
          announce(`Deleted trunk ${trunk.name}.`);
          refresh();
        }, { kind: 'small danger', 'aria-label': `Delete trunk ${trunk.name}` })) },
    ].filter(Boolean), trunks), h('p', { class: 'actions' }, add)]
    : empty('No trunk yet', 'A trunk is a SIP connection of this account; outbound calls take the trunk of the number that they show.', add));
}
