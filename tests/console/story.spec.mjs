// Whole tasks, as a person does them who has read no documentation. Elements are found as people and screen readers find them: by
// role and label.

import { expect, picture, signIn, test } from './gateway.mjs';

/** Numbers of fiction. */
const CALLEE = '+12025550123';

test('from nothing to a first call', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|422)/); // provoked: no session yet, and a form with mistakes
  const key = await installation.organization('Acme & <b>Sons</b>');
  const { account, number } = installation;
  const carrier = await firstProviderWith(installation, key, account);

  await test.step('a wrong key opens nothing and says so', async () => {
    await page.goto('/');
    await expect(page).toHaveURL(/\/console\/$/);
    await page.getByLabel('API key').fill('strow_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.getByRole('alert')).toContainText('opens nothing');
    await picture(page, 'sign-in-wrong');
    await page.getByLabel('API key').fill(key);
    await page.getByLabel('API key').press('Enter');
  });

  await test.step('the overview shows the way', async () => {
    await expect(page.getByRole('heading', { name: 'Four steps to a first call' })).toBeVisible();
    await expect(page.getByText('Acme & <b>Sons</b>')).toBeVisible();
    await picture(page, 'overview-empty');
    await page.getByRole('link', { name: 'Create an agent' }).click();
  });

  await test.step('an agent: a mistake is told beside its field, then mended', async () => {
    await page.getByLabel('Name').fill('Echo <img src=x onerror=alert(1)>');
    await page.getByRole('button', { name: 'Create agent' }).click();
    await expect(page.getByRole('alert')).toContainText('Protocol');
    await expect(page.getByLabel('Protocol')).toHaveAttribute('aria-invalid', 'true');
    await picture(page, 'agent-error');
    await page.getByLabel('Protocol').selectOption('strowger');
    await expect(page.getByLabel('Address')).toBeVisible();
    await page.getByLabel('Protocol').selectOption('echo');
    await expect(page.getByLabel('Address')).toBeHidden();
    await page.getByLabel('Record calls').check();
    await page.getByLabel('Parameters').fill('{"language": ');
    await page.getByRole('button', { name: 'Create agent' }).click();
    await expect(page.getByRole('alert')).toContainText('must be JSON');
    await page.getByLabel('Parameters').fill('{"language": "en"}');
    await page.getByRole('button', { name: 'Create agent' }).click();
    // The first of four steps is done, and the next one is offered.
    await expect(page.getByText('Create an agent – done')).toBeVisible();
    await page.getByRole('link', { name: 'Agents' }).click();
    await page.getByRole('link', { name: 'Echo <img src=x onerror=alert(1)>' }).click();
    await expect(page.getByRole('link', { name: 'Talk to it here' })).toBeVisible();
    await page.getByRole('link', { name: 'Have it call you' }).click();
    await expect(page.getByText('No account can place calls')).toBeVisible();
  });

  await test.step('a carrier from the gallery: saved with an error, mended, saved', async () => {
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: 'Choose a carrier' }).click();
    await expect(page.getByRole('heading', { name: 'Over a carrier’s API' })).toBeVisible();
    await expect(page.getByRole('heading', { name: 'Over SIP' })).toBeVisible();
    await picture(page, 'gallery');
    await page.getByRole('link', { name: `Connect ${carrier.display_name}` }).click();
    await page.getByRole('button', { name: 'Connect' }).click();
    const summary = page.getByRole('alert');
    await expect(summary).toContainText('not right');
    await expect(page.locator('.form-problems')).toBeFocused();
    await picture(page, 'configuration-error');
    // The summary leads to the field.
    await summary.getByRole('link').first().click();
    const required = carrier.fields.filter((field) => field.required && account[field.name]);
    await expect(page.getByLabel(required[0].label, { exact: true })).toBeFocused();
    for (const field of required) await page.getByLabel(field.label, { exact: true }).fill(account[field.name]);
    await page.getByLabel('Name', { exact: true }).fill('Main line');
    await page.getByRole('button', { name: 'Connect' }).click();
    await expect(page.getByRole('heading', { name: 'Main line', level: 1 })).toBeVisible();
    await expect(page.getByRole('heading', { name: 'Setup' })).toBeVisible();
  });

  await test.step('a number, answered by the agent', async () => {
    await page.getByRole('button', { name: 'Add a number' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add a phone number' });
    await expect(dialog.getByLabel('Number', { exact: true })).toBeFocused();
    await dialog.getByLabel('Number', { exact: true }).fill('(415) 555-0100');
    await dialog.getByRole('button', { name: 'Add number' }).click();
    await expect(dialog.getByRole('alert')).toContainText('Number');
    await dialog.getByLabel('Number', { exact: true }).fill(number);
    await dialog.getByLabel('Label').fill('Front desk "><script>');
    await expect(dialog.getByLabel('Answered by')).toHaveValue(/.+/);
    await picture(page, 'number-dialog');
    await dialog.getByRole('button', { name: 'Add number' }).click();
    await expect(dialog).toBeHidden();
    await expect(page.getByRole('rowheader', { name: 'Front desk "><script>' })).toBeVisible();
    await expect(page.getByRole('status')).toContainText('The carrier sends its calls where they belong');
    await picture(page, 'configuration');
  });

  await test.step('secrets stay masked, and are kept', async () => {
    const secret = carrier.fields.find((field) => field.sensitive && account[field.name]);
    await page.getByRole('button', { name: 'Change settings' }).click();
    await expect(page.getByText(account[secret.name])).toHaveCount(0);
    await expect(page.getByRole('button', { name: `Replace ${secret.label}` })).toBeVisible();
    await page.getByLabel('Name', { exact: true }).fill('Main line 2');
    await page.getByRole('button', { name: 'Save' }).click();
    await expect(page.getByRole('heading', { name: 'Main line 2', level: 1 })).toBeVisible();
  });

  await test.step('a test call, followed live to its end', async () => {
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.getByRole('link', { name: 'Place a test call' }).click();
    await page.getByLabel('Call', { exact: true }).fill(CALLEE);
    await picture(page, 'place-call');
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await expect(page.getByRole('heading', { name: `Call to ${CALLEE}` })).toBeVisible();
    await expect(page.getByText('In progress')).toBeVisible();
    await picture(page, 'call-live');
    await expect(page.getByText('Completed', { exact: true })).toBeVisible({ timeout: 60_000 });
    await expect(page.getByRole('img', { name: /course of the call/ })).toBeVisible();
    await expect(page.getByRole('img', { name: /Waveform of both voices/ })).toBeVisible();
    await expect(page.getByRole('heading', { name: 'Latency of each stage' })).toBeVisible();
    await expect(page.getByRole('table', { name: 'Invocations of the provider' })).toContainText('calling.place-call');
    // A player that is sent to the middle begins there, because recordings come in parts.
    const player = page.getByLabel('Recording of the call');
    await page.getByRole('img', { name: /Waveform of both voices/ }).click();
    await expect.poll(() => player.evaluate((audio) => audio.currentTime / audio.duration)).toBeCloseTo(0.5, 1);
    await picture(page, 'call', 1500);
  });

  await test.step('and it is among the past calls', async () => {
    await page.getByRole('link', { name: 'Calls', exact: true }).first().click();
    await page.getByLabel('Direction').selectOption('inbound');
    await expect(page.getByText('No call fits')).toBeVisible();
    await page.getByLabel('Direction').selectOption('outbound');
    await expect(page.getByRole('rowheader', { name: CALLEE })).toBeVisible();
    await picture(page, 'calls');
    await page.getByRole('link', { name: 'Overview' }).click();
    await expect(page.getByText('Everything that was set up is ready.')).toBeVisible();
    await picture(page, 'overview');
  });
});

/** The provider that the simulated carrier belongs to: the one whose fields are those of its account. */
async function firstProviderWith(installation, key, account) {
  const { providers } = await installation.api(key)('GET', '/organizations/telephony-providers/metadata');
  return providers.find((each) => Object.keys(account).every((name) => each.fields.some((field) => field.name === name)));
}
