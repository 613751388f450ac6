// The whole way from nothing to a first call, by keyboard alone and on a telephone's width.

import { Installation, expect, tabTo, test } from './gateway.mjs';

/** A number of fiction. */
const CALLEE = '+12025550142';
const TELEPHONE = { width: 390, height: 844 };

test.use({ viewport: TELEPHONE });

test('from nothing to a first call, and its end', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  const own = await Installation.start({ listenS: 300 });
  try {
    accidents.at(own.url);
    const press = async (role, name) => {
      await tabTo(page, page.getByRole(role, { name, exact: true }));
      await page.keyboard.press('Enter');
    };
    const enter = async (label, text) => {
      await tabTo(page, page.getByLabel(label, { exact: true }));
      await page.keyboard.type(text);
    };
    await page.goto(`${own.url}/console/`);
    await expect(page.getByLabel('API key')).toBeFocused();
    await page.keyboard.type(await own.organization('By keyboard'));
    await page.keyboard.press('Enter');

    await press('link', 'Create an agent');
    await enter('Name', 'Line test');
    await tabTo(page, page.getByLabel('Protocol'));
    await page.keyboard.type('Echo');
    await press('button', 'Create agent');
    await press('link', 'Choose a carrier');
    await press('link', 'Connect Twilio');
    await enter('Account SID', own.account.account_sid);
    await enter('Auth Token', own.account.auth_token);
    await press('button', 'Connect');
    await press('button', 'Add a number');
    await expect(page.getByLabel('Number', { exact: true })).toBeFocused();
    await enter('Number', own.number);
    await press('button', 'Add number');
    // The page was drawn anew behind the dialog: the focus is at its beginning, not lost.
    await expect(page.getByRole('heading', { name: 'Twilio', level: 1 })).toBeFocused();
    await press('link', 'Place a test call');
    await enter('Call', CALLEE);
    await page.keyboard.press('Enter');
    await expect(page.getByText('In progress', { exact: true })).toBeVisible();
    await press('button', 'Hang up');
    const dialog = page.getByRole('dialog');
    await tabTo(page, dialog.getByRole('button', { name: 'Hang up' }));
    await page.keyboard.press('Enter');
    await expect(page.getByText('Completed', { exact: true })).toBeVisible({ timeout: 60_000 });
  } finally {
    await page.goto('about:blank');
    await own.stop();
  }
});
