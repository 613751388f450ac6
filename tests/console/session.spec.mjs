// Who is signed in, what they may do, and when it ends.

import { Installation, expect, picture, signIn, test } from './gateway.mjs';

test('keys are made, shown once, used with their role, and revoked', async ({ page, installation, accidents, browser }) => {
  accidents.allow(/status of (401|422)/); // no session yet, and a form with a mistake
  const key = await installation.organization('Keys');
  await signIn(page, key, '#/keys');
  await expect(page.getByRole('rowheader', { name: 'first' })).toBeVisible();

  await page.getByRole('button', { name: 'Create a key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Create key' }).click();
  await expect(dialog.getByRole('alert')).toContainText('Name');
  await dialog.getByLabel('Name').fill('Reporting');
  await dialog.getByLabel('Role').selectOption('read');
  await dialog.getByLabel('Expires after').fill('30');
  await dialog.getByRole('button', { name: 'Create key' }).click();
  const shown = page.getByRole('dialog', { name: 'Copy the key now' });
  const reader = await shown.locator('code').textContent();
  expect(reader).toMatch(/^strow_/);
  await page.getByRole('button', { name: 'I have copied it' }).click();
  await expect(page.getByRole('rowheader', { name: 'Reporting' })).toBeVisible();
  await expect(page.getByText(reader)).toHaveCount(0);
  await picture(page, 'keys');

  // Whoever may only look is offered nothing else, and is told why a page is not theirs.
  const other = await browser.newContext({ baseURL: installation.url });
  const narrow = await other.newPage();
  await signIn(narrow, reader, '#/configurations');
  await expect(narrow.getByText('may look')).toBeVisible();
  await expect(narrow.getByRole('heading', { name: 'Carriers' })).toBeVisible();
  for (const name of ['Connect a carrier', 'API keys', 'Audit log', 'Talk']) await expect(narrow.getByRole('link', { name, exact: true })).toHaveCount(0);
  await narrow.goto('/console/#/keys');
  await expect(narrow.getByText('Your API key does not reach this page')).toBeVisible();
  for (const path of ['/', '/calls', '/agents', '/providers']) {
    await narrow.goto(`/console/#${path}`);
    await expect(narrow.getByRole('heading', { level: 1 })).toBeVisible();
    await expect(narrow.getByRole('link', { name: /^(Create|Place|Connect)/ })).toHaveCount(0);
  }

  // A key that is revoked ends the sessions that it opened; the address stays for when somebody signs in again.
  await page.getByRole('button', { name: 'Revoke Reporting' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke key' }).click();
  await expect(page.getByRole('heading', { name: 'Revoked' })).toBeVisible();
  await narrow.goto('/console/#/calls');
  await expect(narrow.getByText('Your session has ended')).toBeVisible();
  await picture(narrow, 'session-ended');
  await narrow.getByLabel('API key').fill(key);
  await narrow.getByRole('button', { name: 'Sign in' }).click();
  await expect(narrow.getByRole('heading', { name: 'Calls', level: 1 })).toBeVisible();
  await other.close();

  // All of it was written down.
  await page.getByRole('link', { name: 'Audit log' }).click();
  await expect(page.getByRole('table', { name: 'Audit log' })).toContainText('Made: api key');
  await expect(page.getByRole('link', { name: 'Export' })).toHaveAttribute('href', /audit-log\/export/);
  await picture(page, 'audit');

  // The last key of an administrator stays.
  await page.getByRole('link', { name: 'API keys' }).click();
  accidents.allow(/status of 409/);
  await page.getByRole('button', { name: 'Revoke first' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke key' }).click();
  await expect(page.getByRole('dialog', { name: 'That did not work' })).toContainText('last_admin_key');
  await page.getByRole('button', { name: 'Close' }).click();

  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
});

test('the operator’s key is told where it belongs', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|403)/);
  const operator = await installation.operator();
  await page.goto('/console/');
  await page.getByLabel('API key').fill(operator);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toContainText('strowger key create --organization');
  await picture(page, 'sign-in-operator');
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeVisible();
  expect(await page.context().cookies()).toEqual([]);
});

test('nothing of a session or a key is left where scripts can read it', async ({ page, installation, accidents }) => {
  accidents.allow(/status of 401/);
  const key = await installation.organization('Storage');
  await signIn(page, key);
  await expect(page.getByRole('heading', { name: 'Overview' })).toBeVisible();
  const readable = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href]));
  expect(readable).not.toContain('strow_');
  expect(readable).not.toContain('strowger_session');
  const [cookie] = await page.context().cookies();
  expect(cookie).toMatchObject({ name: 'strowger_session', httpOnly: true, sameSite: 'Strict', path: '/' });
});

test('a gateway that was just installed says what comes first', async ({ page, accidents }) => {
  accidents.allow(/status of (401|429)/);
  const bare = await Installation.start({ carrier: null });
  try {
    accidents.at(bare.url);
    const key = await bare.organization('New');
    await page.goto(`${bare.url}/console/#/configurations/new`);
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.getByText('This gateway has no provider yet')).toBeVisible();
    await picture(page, 'gallery-empty');
    for (const [path, text] of [['/agents', 'There is no agent yet'], ['/configurations', 'No carrier is connected'], ['/calls', 'There was no call yet'], ['/providers', 'There is no provider'], ['/calls/new', 'There is no agent yet'], ['/webhooks', 'No endpoint yet']]) {
      await page.goto(`${bare.url}/console/#${path}`);
      await expect(page.getByText(text)).toBeVisible();
    }

    // Whoever tries keys is slowed down, and told for how long.
    await page.getByRole('button', { name: 'Sign out' }).click();
    const slowed = page.getByText('Too many attempts');
    for (let attempt = 0; attempt < 30 && !(await slowed.isVisible()); attempt += 1) {
      await page.getByLabel('API key').fill(`strow_${'wrong'.repeat(4)}${attempt}`);
      const answered = page.waitForResponse('**/api/v1/session');
      await page.getByRole('button', { name: 'Sign in' }).click();
      await answered;
      await expect(page.getByRole('alert')).toBeVisible();
    }
    await expect(slowed).toBeVisible();

    // The gateway is gone: nothing hangs, and the page says what happened.
    accidents.allow(/ERR_CONNECTION_REFUSED/);
    await bare.gateway.stop();
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect(page.getByText('The gateway cannot be reached')).toBeVisible();
  } finally {
    await bare.stop();
  }
});
