// One webhook endpoint, and what became of the events sent to it.

import { fill, h } from '../dom.js';
import { createForm } from '../form.js';
import { ago, time } from '../format.js';
import { announce, badge, button, confirmDialog, dialog, facts, heading, note, paged, section, table } from '../parts.js';
import { endpointBody, endpointFields, endpointState, eventTypes } from './webhooks.js';
import { showOnce } from './keys.js';

const PAGE_ROWS = 50;
const STATES = [['', 'All'], ['pending', 'Waiting'], ['delivered', 'Delivered'], ['dead', 'Given up']];
const KINDS = { pending: 'warn', delivered: 'good', dead: 'bad' };

export async function page({ api, signal, names, refresh, go }) {
  const path = `/webhook-endpoints/${names.endpoint}`;
  const endpoint = await api.get(path, { signal });
  const place = h('div', null);
  let state = '';
  const list = async () => fill(place, await paged(async (cursor) => {
    const answer = await api.page(`${path}/deliveries`, { state, limit: PAGE_ROWS, cursor }, { signal });
    return { rows: answer.deliveries, next: answer.next_cursor };
  }, (rows) => table('Deliveries', [
    { title: 'Event', cell: (delivery) => [delivery.event_type, h('div', { class: 'faint' }, delivery.id)] },
    { title: 'State', cell: (delivery) => badge(KINDS[delivery.state] ?? '', STATES.find(([name]) => name === delivery.state)?.[1] ?? delivery.state) },
    { title: 'Attempts', kind: 'number', cell: (delivery) => delivery.attempts },
    { title: 'Last answer', cell: (delivery) => delivery.last_error ?? delivery.last_status ?? '—' },
    { title: 'Happened', cell: (delivery) => time(delivery.created_at) },
    { title: 'Next attempt', cell: (delivery) => (delivery.next_attempt_at ? ago(delivery.next_attempt_at) : '—') },
    { title: '', cell: (delivery) => (delivery.state === 'dead' && endpoint.enabled ? button('Send again', async () => {
      await api.post(`${path}/deliveries/${delivery.id}/resend`);
      announce('The event is sent again.');
      await list();
    }, { kind: 'small', 'aria-label': `Send ${delivery.event_type} again` }) : null) },
  ], rows), h('p', { class: 'faint' }, state ? 'No event is in this state.' : 'Nothing was sent yet. Send a test event to see whether it arrives.')));
  await list();

  const edit = () => dialog('Change the endpoint', (close) => createForm({
    fields: endpointFields,
    values: { ...endpoint, event_types: endpoint.event_types.includes('*') ? [] : endpoint.event_types },
    submit: 'Save',
    onCancel: () => close(),
    onSubmit: async (values) => {
      await api.put(path, endpointBody(values), { etag: endpoint.etag });
      close(true);
      announce('Saved.');
      refresh();
    },
  }));

  return [
    heading(endpoint.description || 'Webhook endpoint', { back: { href: '#/webhooks', text: 'Webhooks' }, actions: [
      endpoint.enabled && button('Send a test event', async () => {
        await api.post(`${path}/test`);
        announce('A test event is on its way.');
        await list();
      }),
      button('Change', edit),
    ] }),
    endpoint.disabled_reason && note('bad', h('p', null, 'Nothing is sent any more: ', endpoint.disabled_reason), h('p', null, 'When it works again, change it and let it be sent events.')),
    section('Endpoint', facts([
      ['Address', h('code', null, endpoint.url)],
      ['State', endpointState(endpoint)],
      ['Events', eventTypes(endpoint)],
      ['Created', time(endpoint.created_at)],
    ])),
    section('Deliveries',
      h('div', { class: 'filters' }, h('label', null, 'State', h('select', { onchange: (event) => {
        state = event.target.value;
        list();
      } }, STATES.map(([value, text]) => h('option', { value }, text)))),
      button('Look again', list),
      endpoint.enabled && button('Send again all that were given up', async () => {
        const { resent } = await api.post(`${path}/resend-dead`);
        announce(`${resent} ${resent === 1 ? 'event is' : 'events are'} sent again.`);
        await list();
      })),
      place),
    section('Secret and removal', h('p', null, 'A new secret signs at once; the old one signs beside it for a day, so that your program has time to change.'),
      h('p', { class: 'actions' },
        button('Make a new secret', async () => {
          const rotated = await api.post(`${path}/rotate-secret`);
          await showOnce('Copy the signing secret now', rotated.secret, 'the signing secret', 'It is shown this once. The one before signs as well until tomorrow.');
          // It is another version of the endpoint now, and what is changed next has to be that one.
          refresh();
        }),
        button('Delete endpoint', async () => {
          if (!(await confirmDialog({ title: 'Delete this endpoint?', body: 'Events that wait for it are not delivered any more. This cannot be taken back.', confirm: 'Delete endpoint' }))) return;
          await api.delete(path, { etag: endpoint.etag });
          announce('Deleted the endpoint.');
          go('/webhooks');
        }, { kind: 'danger' }))),
  ];
}
