// Events to a program of the tenant's: an endpoint is added, a test event arrives, what is not taken is to be seen and sent again.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { expect, picture, signIn, test } from './gateway.mjs';

test('an endpoint is added, tested, given a new secret, and deleted', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|422)/);
  const got = [];
  const receiver = createServer((request, response) => {
    got.push(request.headers['webhook-id']);
    request.resume();
    response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  try {
    const key = await installation.organization('Events');
    await signIn(page, key, '#/webhooks');
    await page.getByRole('button', { name: 'Add an endpoint' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Address').fill('ftp://example.com');
    await dialog.getByRole('textbox', { name: /^Events/ }).fill('call.begun');
    await dialog.getByRole('button', { name: 'Add endpoint' }).click();
    await expect(dialog.getByRole('alert')).toContainText('Address');
    await expect(dialog.getByRole('textbox', { name: /^Events/ })).toHaveAccessibleDescription(/call\.ended/);
    await picture(page, 'webhook-error');
    await dialog.getByLabel('Address').fill(`http://127.0.0.1:${receiver.address().port}/events`);
    await dialog.getByLabel('Description').fill('Billing');
    await dialog.getByRole('textbox', { name: /^Events/ }).fill('');
    await dialog.getByRole('button', { name: 'Add endpoint' }).click();
    await expect(page.getByRole('dialog', { name: 'Copy the signing secret now' })).toContainText('whsec_');
    await page.getByRole('button', { name: 'I have copied it' }).click();

    await expect(page.getByRole('heading', { name: 'Billing', level: 1 })).toBeVisible();
    await page.getByRole('button', { name: 'Send a test event' }).click();
    await expect.poll(() => got.length).toBe(1);
    await expect(async () => {
      await page.getByRole('button', { name: 'Look again' }).click();
      await expect(page.getByRole('table', { name: 'Deliveries' })).toContainText('Delivered', { timeout: 1000 });
    }).toPass({ timeout: 20_000 });
    await picture(page, 'webhook-delivered');

    await page.getByRole('button', { name: 'Make a new secret' }).click();
    await expect(page.getByRole('dialog')).toContainText('whsec_');
    await page.getByRole('button', { name: 'I have copied it' }).click();
    await page.getByRole('button', { name: 'Change', exact: true }).click();
    await page.getByRole('dialog').getByLabel('Send events').uncheck();
    // Somebody else was quicker: nothing of theirs is overwritten, and what to do is said.
    accidents.allow(/status of 412/);
    const api = installation.api(key);
    const [{ id }] = (await api('GET', '/webhook-endpoints')).webhook_endpoints;
    await api('PUT', `/webhook-endpoints/${id}`, { description: 'Accounting' });
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await expect(page.getByRole('dialog').getByRole('alert')).toContainText('changed meanwhile');
    await picture(page, 'changed-meanwhile');
    await page.reload();
    await expect(page.getByRole('heading', { name: 'Accounting', level: 1 })).toBeVisible();
    await page.getByRole('button', { name: 'Change', exact: true }).click();
    await page.getByRole('dialog').getByLabel('Send events').uncheck();
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await expect(page.getByText('Disabled', { exact: true })).toBeVisible();
    await page.getByRole('button', { name: 'Delete endpoint' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete endpoint' }).click();
    await expect(page.getByText('No endpoint yet')).toBeVisible();
  } finally {
    receiver.close();
  }
});

test('events that were given up are to be seen, and are sent again', async ({ page, installation, accidents }) => {
  accidents.allow(/status of 401/);
  const got = [];
  let status = 410; // Gone: nothing is sent any more, and what waits is given up.
  const receiver = createServer((request, response) => {
    request.resume();
    if (status === 204) got.push(request.headers['webhook-id']);
    response.writeHead(status).end();
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  try {
    const key = await installation.organization('Dead letters');
    const api = installation.api(key);
    const endpoint = await api('POST', '/webhook-endpoints', { url: `http://127.0.0.1:${receiver.address().port}/events`, description: 'Billing' });
    const path = `/webhook-endpoints/${endpoint.id}`;
    const dead = async () => (await api('GET', `${path}/deliveries?state=dead`)).deliveries.length;
    /** An event after which the endpoint is switched off. */
    const giveUp = async (before) => {
      await api('POST', `${path}/test`);
      await expect.poll(dead, { timeout: 20_000 }).toBe(before + 1);
    };
    await giveUp(0);

    await signIn(page, key);
    await expect(page.getByRole('heading', { name: 'Needs attention' })).toBeVisible();
    await page.getByRole('link', { name: 'Billing' }).click();
    await expect(page.getByText('Nothing is sent any more')).toContainText('410');
    await expect(page.getByRole('button', { name: 'Send a test event' })).toHaveCount(0);
    await page.getByLabel('State').selectOption('Given up');
    const list = page.getByRole('table', { name: 'Deliveries' });
    await expect(list.getByText('Given up')).toHaveCount(1);
    await picture(page, 'webhook-dead');

    const enable = async () => {
      await page.getByRole('button', { name: 'Change', exact: true }).click();
      await page.getByRole('dialog').getByLabel('Send events').check();
      await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
      await expect(page.getByText('Enabled', { exact: true })).toBeVisible();
    };
    await enable();
    await giveUp(1);
    await page.reload();
    status = 204;
    await enable();

    // One by itself, and then the rest. It was made up only once, so it comes under its old identifier.
    await page.getByLabel('State').selectOption('Given up');
    await expect(list.getByText('Given up')).toHaveCount(2);
    await page.getByRole('button', { name: 'Send ping again' }).last().click();
    await expect.poll(() => got.length).toBe(1);
    await page.getByRole('button', { name: 'Send again all that were given up' }).click();
    await expect(page.getByRole('status')).toContainText('1 event is sent again');
    await expect.poll(() => got.length).toBe(2);
    expect(new Set(got).size).toBe(2);
    await expect(page.getByText('No event is in this state.')).toBeVisible();
  } finally {
    receiver.close();
  }
});
