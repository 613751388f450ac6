// Accounts at carriers that do not do what they should: what the console says, what stays, and the way back.

import { Installation, expect, picture, test } from './gateway.mjs';

async function open(page, installation, key, hash) {
  await page.goto(`${installation.url}/console/${hash}`);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

test('a number that the carrier is not told about is kept, with the reason', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  const own = await Installation.start();
  try {
    accidents.at(own.url);
    const key = await own.organization('Numbers');
    const api = own.api(key);
    const agent = await api('POST', '/agents', { name: 'Reception', protocol: 'echo' });
    const made = await api('POST', '/organizations/telephony-configs', { name: 'Main line', config: { provider: 'twilio', ...own.account } });
    await open(page, own, key, `#/configurations/${made.id}`);

    await page.getByRole('button', { name: 'Add a number' }).click();
    await page.getByRole('dialog').getByLabel('Number', { exact: true }).fill(own.number);
    await page.getByRole('dialog').getByLabel('Label').fill('Front desk');
    await page.getByRole('dialog').getByRole('button', { name: 'Add number' }).click();
    await expect(page.getByRole('rowheader', { name: 'Front desk' })).toBeVisible();

    // The carrier cannot be reached: the change stays, and stays visible as not told until somebody closes it.
    await own.loseCarrier();
    await page.getByRole('button', { name: 'Change Front desk' }).click();
    await page.getByRole('dialog').getByLabel('Label').fill('Reception desk');
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    const warning = page.getByRole('dialog', { name: 'Saved, but the carrier was not told' });
    await expect(warning).toContainText('The number is kept', { timeout: 60_000 });
    await picture(page, 'number-not-told');
    await warning.getByRole('button', { name: 'Close' }).click();
    await expect(page.getByRole('rowheader', { name: 'Reception desk' })).toBeVisible();
    await page.reload();
    await expect(page.getByRole('rowheader', { name: 'Reception desk' })).toBeVisible();

    // It is there again: saving once more tells it.
    await own.regainCarrier();
    await page.getByRole('button', { name: 'Change Reception desk' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await expect(page.getByRole('status')).toContainText('The carrier sends its calls where they belong', { timeout: 60_000 });
    const { phone_numbers: numbers } = await api('GET', `/organizations/telephony-configs/${made.id}/phone-numbers`);
    expect(numbers.map(({ inbound_agent_id: answers }) => answers)).toEqual([agent.id]);
  } finally {
    await own.stop();
  }
});

test('an account that is refused again and again is switched off, mended, and taken back', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  const refused = await Installation.start({ carrier: 'ari', fault: 'event-socket-401' });
  try {
    accidents.at(refused.url);
    const key = await refused.organization('Parked');
    const api = refused.api(key);
    const made = await api('POST', '/organizations/telephony-configs', { name: 'Office telephones', config: { provider: 'ari', ...refused.account } });
    await open(page, refused, key, `#/configurations/${made.id}`);
    await expect(page.getByRole('heading', { name: 'Connection for events' })).toBeVisible();
    await expect(async () => {
      await page.reload();
      await expect(page.getByText('This account is switched off and takes no calls')).toBeVisible({ timeout: 1000 });
    }).toPass({ timeout: 90_000 });
    await expect(page.getByText('401').first()).toBeVisible();
    await picture(page, 'configuration-parked');

    // The overview names it, and leads there.
    await page.getByRole('link', { name: 'Overview' }).click();
    await expect(page.getByRole('heading', { name: 'Needs attention' })).toBeVisible();
    await picture(page, 'overview-attention');
    await page.getByRole('link', { name: 'Office telephones' }).click();

    // Somebody mended it there.
    await refused.loseCarrier();
    await refused.regainCarrier();
    await page.getByRole('button', { name: 'Reactivate' }).click();
    await expect(page.getByRole('status')).toContainText('is active again');
    await expect(page.getByText('This account is switched off')).toHaveCount(0);
    await expect(async () => {
      await page.reload();
      await expect(page.getByText('Connected', { exact: true })).toBeVisible({ timeout: 1000 });
    }).toPass({ timeout: 60_000 });
  } finally {
    await refused.stop();
  }
});
