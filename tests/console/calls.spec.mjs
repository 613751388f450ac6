// A call that goes on: what can be done about it from the console, and by whom.

import { ended } from './content.mjs';
import { Installation, expect, picture, test } from './gateway.mjs';

/** Numbers of fiction. */
const CALLEE = '+12025550123';
const COLLEAGUE = '+12025550166';

/** Whoever is called stays on the line for as long as a test may take. */
const STAYS_S = 300;

let patient = null;
test.beforeAll(async () => {
  test.setTimeout(300_000);
  patient = await Installation.start({ listenS: STAYS_S });
});
test.afterAll(async () => patient?.stop());

/** An organisation whose agent is talking to somebody. */
async function talking(name) {
  const key = await patient.organization(name);
  const api = patient.api(key);
  const agent = await api('POST', '/agents', { name: 'Reception', protocol: 'echo', record: true });
  const configuration = await api('POST', '/organizations/telephony-configs', { name: 'Main line', config: { provider: 'twilio', ...patient.account } });
  await api('POST', `/organizations/telephony-configs/${configuration.id}/phone-numbers`, { address: patient.number, inbound_agent_id: agent.id, is_default_caller_id: true });
  const { call_id: call } = await api('POST', '/telephony/initiate-call', { agent_id: agent.id, phone_number: CALLEE });
  return { key, api, call };
}

const open = async (page, key, hash) => {
  await page.goto(`${patient.url}/console/${hash}`);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
};

test('a call is transferred from the console, and ended there', async ({ page, accidents, browser }) => {
  accidents.allow(/status of (401|422)/);
  accidents.at(patient.url);
  const known = await talking('Transfers');
  await open(page, known.key, '');
  await expect(page.getByRole('heading', { name: 'Calls in progress: 1' })).toBeVisible();
  await page.getByRole('link', { name: CALLEE }).click();
  await expect(page.getByText('In progress', { exact: true })).toBeVisible();

  await page.getByRole('button', { name: 'Transfer', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Transfer the caller' });
  await dialog.getByRole('button', { name: 'Transfer', exact: true }).click();
  await expect(dialog.getByRole('alert')).toContainText('To');
  await picture(page, 'transfer-dialog');
  await dialog.getByLabel('To', { exact: true }).fill(COLLEAGUE);
  await dialog.getByLabel('Announcement').fill('A caller for you.');
  await dialog.getByRole('button', { name: 'Transfer', exact: true }).click();
  await expect(dialog).toBeHidden();
  const transfers = page.getByRole('table', { name: 'Transfers' });
  await expect(transfers).toContainText(COLLEAGUE);
  await expect(transfers.getByRole('cell', { name: 'Connected', exact: true })).toBeVisible({ timeout: 60_000 });
  await picture(page, 'call-transferred');

  // Whoever may only look sees the call and nothing to press.
  const { api_key: reader } = await known.api('POST', '/api-keys', { name: 'Reader', role: 'read' });
  const other = await browser.newContext();
  const narrow = await other.newPage();
  await open(narrow, reader, `#/calls/${known.call}`);
  await expect(narrow.getByRole('heading', { name: `Call to ${CALLEE}` })).toBeVisible();
  for (const name of ['Hang up', 'Transfer']) await expect(narrow.getByRole('button', { name })).toHaveCount(0);

  // The call counts in what the organisation uses.
  await narrow.goto(`${patient.url}/console/#/limits`);
  await expect(narrow.getByText(/^1 of \d/)).toBeVisible();
  await expect(narrow.getByRole('table', { name: 'Calls by number' })).toContainText(patient.number);
  await picture(narrow, 'limits-in-use');
  await narrow.goto(`${patient.url}/console/#/calls/${known.call}`);

  // The one who thinks better of it changes nothing.
  await page.getByRole('button', { name: 'Hang up' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByText('In progress', { exact: true })).toBeVisible();
  await page.getByRole('button', { name: 'Hang up' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Hang up' }).click();
  await expect(page.getByText('Completed', { exact: true })).toBeVisible({ timeout: 60_000 });
  // And whoever looks on is shown that as well.
  await expect(narrow.getByText('Completed', { exact: true })).toBeVisible({ timeout: 60_000 });
  await other.close();
  const { outcome, transfers: told } = await ended(known.api, known.call);
  expect(outcome.status).toBe('completed');
  expect(told).toHaveLength(1);
});
