import { expect, picture, signIn, test } from './gateway.mjs';

test('smoke', async ({ page, installation, accidents }) => {
  const key = await installation.organization('Acme');
  accidents.allow(/EventSource|live|session|404/);
  await page.goto('/');
  await signIn(page, key);
  await picture(page, '01');
  for (const path of ['calls', 'agents', 'agents/new', 'configurations', 'configurations/new', 'configurations/new/twilio', 'configurations/new/ari', 'providers', 'providers/twilio', 'calls/new']) {
    await page.goto(`/console/#/${path}`);
    await page.waitForTimeout(1500);
    await picture(page, path.replaceAll('/', '_'));
  }
});
