// Providers: what they may do, how an organisation installs its own, and the trunks of those that keep some.

import { Installation, expect, picture, signIn, test } from './gateway.mjs';

/** The sample of the Rust SDK: an organisation's own, as far as the gateway knows. */
const SAMPLE = new URL('../../target/samples/rust.wasm', import.meta.url).pathname;

test('a provider of one’s own: examined, read, adopted with its hosts, and then in the gallery', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|422)/); // provoked: no session yet, and a file that is no provider
  const key = await installation.organization('Own provider');
  await signIn(page, key, '#/providers');
  await page.getByRole('button', { name: 'Install a provider' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Examine and install' }).click();
  await expect(dialog.getByRole('alert')).toContainText('choose a file');
  await dialog.getByLabel('Component').setInputFiles({ name: 'nothing.wasm', mimeType: 'application/wasm', buffer: Buffer.from('nothing') });
  await dialog.getByRole('button', { name: 'Examine and install' }).click();
  await expect(dialog.getByRole('alert')).toContainText('not_a_provider');
  await dialog.getByLabel('Component').setInputFiles(SAMPLE);
  await dialog.getByRole('button', { name: 'Examine and install' }).click();

  await expect(page.getByRole('heading', { name: 'Example Telecom', level: 1 })).toBeVisible({ timeout: 60_000 });
  await expect(page.getByText('Waits')).toBeVisible();
  await expect(page.getByRole('heading', { name: 'Sends requests to' })).toBeVisible();
  await expect(page.getByText('sealed: it never sees what was entered').first()).toBeVisible();
  await picture(page, 'permissions');

  await page.getByRole('button', { name: /^Adopt version/ }).click();
  const adopt = page.getByRole('dialog');
  await expect(adopt).toContainText('is not reached');
  await adopt.getByLabel('api.example-telecom.example').check();
  await picture(page, 'adopt');
  await adopt.getByRole('button', { name: 'Adopt' }).click();
  await expect(page.getByText('Takes calls', { exact: true })).toBeVisible();
  await expect(page.getByRole('definition').filter({ hasText: 'api.example-telecom.example' })).toBeVisible();

  await page.goto('/console/#/configurations/new');
  await expect(page.getByRole('link', { name: 'Connect Example Telecom' })).toBeVisible();
  await page.goto('/console/#/providers');
  await expect(page.getByRole('row', { name: /Example Telecom/ })).toContainText('your organisation');
  await picture(page, 'providers');
});

test('trunks: added with what the carrier needs, switched off, deleted', async ({ page, accidents }) => {
  accidents.allow(/status of (401|422)/);
  const sip = await Installation.start({ carrier: 'cloudonix' });
  try {
    accidents.at(sip.url);
    const key = await sip.organization('Trunks');
    const made = await sip.api(key)('POST', '/organizations/telephony-configs', { name: 'Main', config: { provider: 'cloudonix', ...sip.account } });
    await page.goto(`${sip.url}/console/#/configurations/${made.id}`);
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Add a trunk' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add a trunk' });
    await dialog.getByLabel('Name').fill('east');
    await dialog.getByRole('button', { name: 'Add trunk' }).click();
    await expect(dialog.getByRole('alert')).toContainText('required');
    await dialog.getByLabel('Region').selectOption({ index: 1 });
    await dialog.getByLabel('SIP Domain').fill('sip.carrier.example');
    await picture(page, 'trunk-dialog');
    await dialog.getByRole('button', { name: 'Add trunk' }).click();
    await expect(dialog).toBeHidden();
    const row = page.getByRole('row', { name: /east/ });
    await expect(row).toContainText('Enabled');
    await page.getByRole('button', { name: 'Change trunk east' }).click();
    await page.getByRole('dialog').getByLabel('Calls may take it').uncheck();
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await expect(row).toContainText('Disabled');
    await picture(page, 'configuration-sip');
    await page.getByRole('button', { name: 'Delete trunk east' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete trunk' }).click();
    await expect(page.getByText('No trunk yet')).toBeVisible();

    // The configuration goes as well, after its consequences were named.
    await page.getByRole('button', { name: 'Delete configuration' }).click();
    await expect(page.getByRole('dialog')).toContainText('cannot be taken back');
    await page.getByRole('dialog').getByRole('button', { name: 'Delete configuration' }).click();
    await expect(page.getByText('No carrier is connected')).toBeVisible();
  } finally {
    await sip.stop();
  }
});
