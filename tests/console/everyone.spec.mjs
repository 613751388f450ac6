// Every page, for everybody: in light and dark, by keyboard, on a telephone's width, with axe's rules, and with names that would
// be markup if anything took them for it.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { HOSTILE, ended, fillWith } from './content.mjs';
import { expect, picture, signIn, tabTo, test } from './gateway.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const NARROW = { width: 360, height: 740 };
const WIDE = { width: 1280, height: 900 };

let filled = null;
async function content(installation) {
  if (!filled) {
    filled = await fillWith(installation, HOSTILE.slice(0, 60));
    await ended(filled.api, filled.call);
  }
  return filled;
}

function addresses({ agent, remote, provider, configuration, call, webhook }) {
  return {
    overview: '/', calls: '/calls', 'place-call': '/calls/new', call: `/calls/${call}`,
    agents: '/agents', 'agent-new': '/agents/new', agent: `/agents/${agent.id}`, 'agent-remote': `/agents/${remote.id}`,
    configurations: '/configurations', gallery: '/configurations/new', 'configuration-new': `/configurations/new/${provider.provider}`, configuration: `/configurations/${configuration.id}`,
    talk: '/talk', limits: '/limits', keys: '/keys', audit: '/audit', webhooks: '/webhooks', webhook: `/webhooks/${webhook.id}`,
    providers: '/providers', provider: `/providers/${provider.provider}`,
    nowhere: '/no/such/page', gone: '/calls/00000000-0000-7000-8000-000000000000',
  };
}

async function visit(page, address) {
  await page.goto(`/console/#${address}`);
  await expect(page.locator('#main')).not.toHaveAttribute('aria-busy', 'true');
  await expect(page.locator('#main > *').first()).toBeVisible();
}

async function problems(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.target.join(' ') + ' ' + (node.any[0]?.message ?? '')).join('; ')}`);
}

for (const colorScheme of ['light', 'dark']) {
  test(`every page keeps axe's rules in ${colorScheme} colours`, async ({ page, installation, accidents }) => {
    test.setTimeout(300_000);
    accidents.allow(/status of (401|404)/);
    const known = await content(installation);
    await page.emulateMedia({ colorScheme });
    await page.goto('/console/');
    await expect(page.getByLabel('API key')).toBeVisible();
    expect(await problems(page), 'sign-in').toEqual([]);
    await picture(page, `sign-in-${colorScheme}`);
    await signIn(page, known.key);
    for (const [name, address] of Object.entries(addresses(known))) {
      await visit(page, address);
      expect.soft(await problems(page), name).toEqual([]);
      await picture(page, `${name}-${colorScheme}`);
    }
  });
}

test('every page fits a width of 360 pixels', async ({ page, installation, accidents }) => {
  test.setTimeout(300_000);
  accidents.allow(/status of (401|404)/);
  const known = await content(installation);
  await page.setViewportSize(NARROW);
  await signIn(page, known.key);
  for (const [name, address] of Object.entries(addresses(known))) {
    await visit(page, address);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect.soft(width, name).toBeLessThanOrEqual(NARROW.width);
    await picture(page, `${name}-narrow`);
  }
  // The navigation is behind a button there.
  await page.getByRole('button', { name: 'Menu' }).click();
  await expect(page.getByRole('link', { name: 'Agents' })).toBeVisible();
  await picture(page, 'menu-narrow');
  await page.getByRole('link', { name: 'Agents' }).click();
  await expect(page.getByRole('heading', { name: 'Agents', level: 1 })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Calls', exact: true })).toBeHidden();
});

test('names are texts, whatever is in them', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|404)/);
  const known = await content(installation);
  await page.setViewportSize(WIDE);
  await signIn(page, known.key);
  for (const address of ['/agents', '/configurations', `/configurations/${known.configuration.id}`, `/agents/${known.agent.id}`, `/calls/${known.call}`, '/calls']) {
    await visit(page, address);
    expect(await page.locator('img[src="x"], script:not([src])').count(), address).toBe(0);
    await expect(page.getByText('onerror=alert(1)').first(), address).toBeAttached();
  }
});

test('an agent and a call by keyboard alone', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|404|422)/);
  const known = await content(installation);
  await page.goto('/console/');
  // The first field has the focus.
  await expect(page.getByLabel('API key')).toBeFocused();
  await page.keyboard.type(known.key);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: 'Sign out' })).toBeVisible();
  // The first stop is the way past the navigation.
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the page' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.locator('#main')).toBeFocused();

  await page.goto('/console/#/agents');
  await expect(page.getByRole('heading', { name: 'Agents', level: 1 })).toBeFocused();
  await tabTo(page, page.getByRole('link', { name: 'Create an agent' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Create an agent' })).toBeFocused();
  await tabTo(page, page.getByLabel('Name'));
  await page.keyboard.type('By keyboard');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Echo');
  await tabTo(page, page.getByRole('button', { name: 'Create agent' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('link', { name: 'By keyboard' })).toBeVisible();

  // A dialog keeps the focus, gives it back, and closes with Escape.
  await tabTo(page, page.getByRole('link', { name: 'By keyboard' }));
  await page.keyboard.press('Enter');
  const remove = page.getByRole('button', { name: 'Delete agent' });
  await tabTo(page, remove);
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await expect(dialog).toBeVisible();
  for (let stop = 0; stop < 6; stop += 1) {
    await page.keyboard.press('Tab');
    // The browser's own controls may be among the stops; the page behind never is.
    expect(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest('dialog') !== null)).toBe(true);
  }
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(remove).toBeFocused();
});
