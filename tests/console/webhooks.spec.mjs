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
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await expect(page.getByText('Disabled', { exact: true })).toBeVisible();
    await page.getByRole('button', { name: 'Delete endpoint' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete endpoint' }).click();
    await expect(page.getByText('No endpoint yet')).toBeVisible();
  } finally {
    receiver.close();
  }
});
