// API keys: who may do what, and until when.

import { h } from '../dom.js';
import { createForm } from '../form.js';
import { ago, time } from '../format.js';
import { announce, badge, button, confirmDialog, copyable, dialog, empty, heading, note, section, table } from '../parts.js';

const ROLES = [
  ['read', 'Read – sees everything, changes nothing'],
  ['operate', 'Operate – places, transfers and ends calls as well'],
  ['admin', 'Administrate – may do everything of the organisation'],
];

export async function page({ api, signal, refresh }) {
  const keys = await api.list('/api-keys', 'api_keys', { signal });
  const usable = keys.filter((key) => !key.revoked_at);
  const revoked = keys.filter((key) => key.revoked_at);
  const create = button('Create a key', () => make(api, refresh), { kind: 'primary' });
  const columns = [
    { title: 'Name', cell: (key) => key.name },
    { title: 'Role', cell: (key) => badge('', key.role) },
    { title: 'Begins with', cell: (key) => h('code', null, key.prefix) },
    { title: 'Last used', cell: (key) => (key.last_used_at ? ago(key.last_used_at) : 'never') },
  ];
  return [
    heading('API keys', { lead: 'A key opens the API and the console for whoever has it. Give each program and person one of their own, with no more rights than they need.', actions: [create] }),
    usable.length
      ? section('Keys in use', table('Keys in use', [
        ...columns,
        { title: 'Expires', cell: (key) => (key.expires_at ? [time(key.expires_at), new Date(key.expires_at) < new Date() ? [' ', badge('bad', 'Expired')] : null] : 'never') },
        { title: '', cell: (key) => button('Revoke', async () => {
          if (!(await confirmDialog({ title: `Revoke ${key.name}?`, body: 'Whoever uses it is refused at once, and sessions that were opened with it end. This cannot be taken back.', confirm: 'Revoke key' }))) return;
          await api.delete(`/api-keys/${key.id}`);
          announce(`Revoked ${key.name}.`);
          refresh();
        }, { kind: 'small danger', 'aria-label': `Revoke ${key.name}` }) },
      ], usable))
      : empty('There is no key in use', 'Create one for each program and person.', null),
    revoked.length ? section('Revoked', table('Revoked keys', [...columns, { title: 'Revoked', cell: (key) => time(key.revoked_at) }], revoked)) : null,
  ];
}

async function make(api, refresh) {
  const made = await dialog('Create an API key', (close) => createForm({
    fields: [
      { name: 'name', label: 'Name', type: 'text', required: true, placeholder: 'Reporting', description: 'Who or what uses it.' },
      { name: 'role', label: 'Role', type: 'select', required: true, options: ROLES.map(([value, label]) => ({ value, label })) },
      { name: 'expires_in_days', label: 'Expires after', type: 'number', description: 'Days; never if nothing is entered.' },
    ],
    values: { role: 'read' },
    submit: 'Create key',
    onCancel: () => close(),
    onSubmit: async (values) => close(await api.post('/api-keys', values)),
  }));
  if (!made) return;
  await showOnce('Copy the key now', made.api_key, 'the API key', 'It is shown this once: only a hash of it is kept.');
  refresh();
}

/** Shows a secret that cannot be asked for again. */
export function showOnce(title, secret, name, text) {
  return dialog(title, (close) => h('div', null,
    note('warn', h('p', null, text)),
    copyable(secret, name),
    h('p', { class: 'actions' }, h('button', { type: 'button', class: 'button primary', onclick: () => close() }, 'I have copied it'))));
}
