// Where this organisation's events are sent.

import { link } from '../dom.js';
import { createForm } from '../form.js';
import { announce, badge, button, dialog, empty, heading, section, table } from '../parts.js';
import { ago } from '../format.js';
import { showOnce } from './keys.js';

export async function page({ api, signal, go }) {
  const endpoints = await api.list('/webhook-endpoints', 'webhook_endpoints', { signal });
  const add = button('Add an endpoint', () => create(api, go), { kind: 'primary' });
  return [
    heading('Webhooks', { lead: 'The gateway posts events of your calls to these addresses, signed and in order, and repeats what was not taken.', actions: endpoints.length ? [add] : [] }),
    endpoints.length
      ? section('Endpoints', table('Webhook endpoints', [
        { title: 'Address', cell: (endpoint) => link(`#/webhooks/${endpoint.id}`, endpoint.url) },
        { title: 'Description', cell: (endpoint) => endpoint.description ?? '—' },
        { title: 'Events', cell: (endpoint) => eventTypes(endpoint) },
        { title: 'State', cell: endpointState },
      ], endpoints))
      : empty('No endpoint yet', 'Add the address of a program of yours that wants to know when calls begin and end.', add),
  ];
}

export const eventTypes = (endpoint) => (endpoint.event_types.includes('*') ? 'all' : endpoint.event_types.join(', '));

export function endpointState(endpoint) {
  if (!endpoint.enabled) return badge(endpoint.disabled_reason ? 'bad' : '', 'Disabled');
  if (endpoint.failing_since) return [badge('warn', 'Failing'), ' since ', ago(endpoint.failing_since)];
  return badge('good', 'Enabled');
}

export const endpointFields = [
  { name: 'url', label: 'Address', type: 'text', required: true, placeholder: 'https://example.com/webhooks' },
  { name: 'description', label: 'Description', type: 'text', placeholder: 'Billing' },
  { name: 'event_types', label: 'Events', type: 'string-array', description: 'One on each line, such as call.ended; all if nothing is entered.' },
  { name: 'enabled', label: 'Send events', type: 'boolean' },
];

/** What was entered, as the gateway takes it: an empty field is a wish, too. */
export const endpointBody = ({ description = '', event_types: types = ['*'], ...values }) => ({ description, event_types: types, ...values });

async function create(api, go) {
  const made = await dialog('Add a webhook endpoint', (close) => createForm({
    fields: endpointFields,
    values: { enabled: true },
    submit: 'Add endpoint',
    onCancel: () => close(),
    onSubmit: async (values) => close(await api.post('/webhook-endpoints', endpointBody(values))),
  }));
  if (!made) return;
  await showOnce('Copy the signing secret now', made.secret, 'the signing secret', 'Your program checks the signature of every event with it. It is shown this once.');
  announce('Added the endpoint.');
  go(`/webhooks/${made.id}`);
}
