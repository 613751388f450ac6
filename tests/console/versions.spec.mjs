// Versions of a provider of one's own: tried on a share of calls, adopted, rolled back, and set aside when they fail.

import { readFileSync } from 'node:fs';

import { expect, picture, signIn, test } from './gateway.mjs';

/** The least that a carrier can be (`tests/guests/toy`). */
const COMPONENT = readFileSync(new URL('../../target/wasm32-wasip2/component/strowger_toy_guest.wasm', import.meta.url));
const KEY = 'a key that nobody guesses';
const NUMBER = '+12025550100';
/** Whoever calls from here has it trap. */
const TRAPS = '+12025550199';
const CALLER = '+12025550147';
/** So many calls that fail in a row are enough. */
const FAILURES = 5;

/** A component that does the same and is another one: with one more custom section. */
const variant = (tag) => Buffer.concat([COMPONENT, Buffer.from([0, 5, 3]), Buffer.from('tag'), Buffer.from([tag])]);

const install = async (page, tag) => {
  await page.goto('/console/#/providers');
  await page.getByRole('button', { name: 'Install a provider' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Component').setInputFiles({ name: `toyphone-${tag}.wasm`, mimeType: 'application/wasm', buffer: variant(tag) });
  await dialog.getByRole('button', { name: 'Examine and install' }).click();
  await expect(page.getByRole('heading', { name: 'Toyphone', level: 1 })).toBeVisible({ timeout: 60_000 });
};

test('a version is tried, adopted, rolled back, and set aside when it fails', async ({ page, installation, accidents }) => {
  test.setTimeout(180_000);
  accidents.allow(/status of 401/);
  const key = await installation.organization('Versions');
  const api = installation.api(key);
  await signIn(page, key, '#/providers');
  const version = (file) => page.getByRole('region').filter({ has: page.getByText(file, { exact: true }) });
  const adopt = async (file) => {
    await version(file).getByRole('button', { name: /^Adopt version/ }).click();
    await page.getByRole('dialog').getByLabel('api.toyphone.example').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Adopt' }).click();
    await expect(version(file).getByText('Takes calls', { exact: true })).toBeVisible();
  };
  await install(page, 1);
  await adopt('toyphone-1.wasm');

  const agent = await api('POST', '/agents', { name: 'Reception', protocol: 'echo' });
  const configuration = await api('POST', '/organizations/telephony-configs', { name: 'Toy line', config: { provider: 'toyphone', line: 'LINE-1', key: KEY } });
  await api('POST', `/organizations/telephony-configs/${configuration.id}/phone-numbers`, { address: NUMBER, inbound_agent_id: agent.id });
  let calls = 0;
  /** Somebody calls; what the carrier is answered. */
  const called = async (from) => {
    calls += 1;
    const response = await fetch(`${installation.url}/api/v1/telephony/inbound/run/toyphone`, {
      method: 'POST', headers: { 'x-toy-key': KEY }, body: JSON.stringify({ toy_call: `toy-${calls}`, line: 'LINE-1', from, to: NUMBER }),
    });
    return response.text();
  };
  expect(await called(CALLER)).toMatch(/^ws/);

  await test.step('a share of calls, more of them, none again', async () => {
    await install(page, 2);
    const second = version('toyphone-2.wasm');
    await expect(second.getByText('Waits', { exact: true })).toBeVisible();
    await second.getByRole('button', { name: 'Try on a share of calls' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Share of new calls').fill('101');
    await dialog.getByLabel('api.toyphone.example').check();
    accidents.allow(/status of 422/);
    await dialog.getByRole('button', { name: 'Try' }).click();
    await expect(dialog.getByRole('alert')).toBeVisible();
    await dialog.getByLabel('Share of new calls').fill('12.5');
    await dialog.getByRole('button', { name: 'Try' }).click();
    await expect(second.getByText('On trial: 12.5 %')).toBeVisible();
    await picture(page, 'provider-trial');
    await page.getByRole('link', { name: 'Providers' }).first().click();
    await expect(page.getByRole('row', { name: /Toyphone/ })).toContainText('12.5 %');
    await page.getByRole('link', { name: 'Toyphone' }).click();
    await second.getByRole('button', { name: 'End the trial' }).click();
    await expect(second.getByText('Waits', { exact: true })).toBeVisible();
  });

  await test.step('adopted, and back', async () => {
    await adopt('toyphone-2.wasm');
    await page.getByRole('button', { name: 'Roll back' }).click();
    await expect(page.getByRole('dialog')).toContainText('Calls in progress keep theirs');
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
    await expect(version('toyphone-1.wasm').getByText('Takes calls', { exact: true })).toBeVisible();
    await adopt('toyphone-2.wasm');
  });

  await test.step('it fails, and the one before takes the calls', async () => {
    for (let call = 0; call < FAILURES; call += 1) expect(await called(TRAPS)).toBe('bye');
    await expect(async () => {
      await page.reload();
      await expect(version('toyphone-2.wasm').getByText('Set aside', { exact: true })).toBeVisible({ timeout: 1000 });
    }).toPass({ timeout: 30_000 });
    await expect(version('toyphone-2.wasm')).toContainText('trapped');
    await expect(version('toyphone-1.wasm').getByText('Takes calls', { exact: true })).toBeVisible();
    await picture(page, 'provider-set-aside');
    expect(await called(CALLER)).toMatch(/^ws/);
    await page.getByRole('link', { name: 'Overview' }).click();
    await expect(page.getByRole('heading', { name: 'Needs attention' })).toBeVisible();
    await page.getByRole('main').getByRole('link', { name: /toyphone/i }).click();
    await expect(page.getByRole('heading', { name: 'Toyphone', level: 1 })).toBeVisible();
    await version('toyphone-2.wasm').getByRole('button', { name: /^Remove version/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove version' }).click();
    await expect(version('toyphone-2.wasm')).toHaveCount(0);
  });
});
