// The form that is drawn from a description: all types of fields, conditions, sections, secrets and problems, whichever provider
// may one day use them.

import { expect, picture, test } from './gateway.mjs';

const FIELDS = [
  { name: 'name', label: 'Account', type: 'text', required: true, placeholder: 'AC…', description: 'As the carrier calls it.' },
  { name: 'token', label: 'Token', type: 'password', required: true, sensitive: true },
  { name: 'key', label: 'Private key', type: 'textarea', required: false, sensitive: true },
  { name: 'hosts', label: 'Hosts', type: 'string-array', required: false },
  { name: 'port', label: 'Port', type: 'number', required: false, section: 'Advanced' },
  { name: 'tls', label: 'Encrypted', type: 'boolean', required: false, section: 'Advanced' },
  { name: 'pin', label: 'Certificate', type: 'text', required: false, section: 'Advanced', visible_when: { field: 'tls', equals: true } },
  { name: 'mode', label: 'Mode', type: 'select', required: true, options: [{ value: 'a', label: 'First' }, { value: 'b', label: 'Second' }] },
  { name: 'region', label: 'Region', type: 'text', required: true, visible_when: { field: 'mode', equals: 'b' } },
  { name: 'zone', label: 'Zone', type: 'text', required: false, visible_when: { field: 'region', equals: 'eu' } },
  { name: 'webhook', label: 'Webhook', type: 'readonly' },
  { name: 'application', label: 'Application', type: 'text', server_managed: true },
];

/** Shows a form in a page of the console's own, and keeps what is submitted. */
async function show(page, options) {
  await page.goto('/console/');
  // What the console shows by itself comes first: later it would take the form's place.
  await expect(page.getByLabel('API key')).toBeVisible();
  const module = await page.locator('script[type=module]').getAttribute('src');
  await page.evaluate(async ([at, { fields, values, problem }]) => {
    const { createForm } = await import(new URL('form.js', new URL(at, location)));
    globalThis.submitted = [];
    document.getElementById('app').replaceChildren(createForm({
      fields, values, prefix: 'config.', submit: 'Save',
      onSubmit: async (entered) => {
        globalThis.submitted.push(entered);
        if (problem) throw Object.assign(new Error(problem.message), problem);
      },
    }));
  }, [module, options]);
}

const submitted = (page) => page.evaluate(() => globalThis.submitted.at(-1));

test('all types are entered in their own way and sent with their own type', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  await show(page, { fields: FIELDS, values: { webhook: 'wss://gateway.example/hook', application: 'app-1' } });
  await expect(page.getByLabel('Token')).toHaveAttribute('type', 'password');
  await expect(page.getByText('Application')).toHaveCount(0);
  await expect(page.getByText('wss://gateway.example/hook')).toBeVisible();
  await expect(page.getByRole('group', { name: 'Advanced' }).getByLabel('Port')).toBeVisible();
  await expect(page.getByText('Private key (optional)')).toBeVisible();
  await expect(page.getByLabel('Account')).toHaveAttribute('aria-required', 'true');
  await page.getByLabel('Account').fill('  AC1 ');
  await page.getByLabel('Token').fill(' kept as it is ');
  await page.getByLabel('Private key').fill('-----BEGIN-----\nabc\n-----END-----\n');
  await page.getByLabel('Hosts').fill('a.example\n\n  b.example ');
  await page.getByLabel('Port').fill('5060');
  await page.getByLabel('Encrypted').check();
  await page.getByLabel('Certificate').fill('ab:cd');
  await page.getByLabel('Mode').selectOption('Second');
  await page.getByLabel('Region').fill('eu');
  await page.getByLabel('Zone').fill('1');
  await picture(page, 'form-all-types');
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await submitted(page)).toEqual({
    name: 'AC1', token: ' kept as it is ', key: '-----BEGIN-----\nabc\n-----END-----\n', hosts: ['a.example', 'b.example'],
    port: 5060, tls: true, pin: 'ab:cd', mode: 'b', region: 'eu', zone: '1',
  });
});

test('what its condition hides is cleared and not sent', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  await show(page, { fields: FIELDS, values: { name: 'AC1', token: '***', mode: 'b', region: 'eu', zone: '1', tls: true, pin: 'ab' } });
  await expect(page.getByLabel('Zone')).toHaveValue('1');
  await page.getByLabel('Mode').selectOption('First');
  await expect(page.getByLabel('Region')).toBeHidden();
  await expect(page.getByLabel('Zone')).toBeHidden();
  await page.getByLabel('Encrypted').uncheck();
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await submitted(page)).toEqual({ name: 'AC1', token: '***', mode: 'a', tls: false });
  await page.getByLabel('Mode').selectOption('Second');
  await expect(page.getByLabel('Region')).toHaveValue('');
});

test('a secret is a mask that is kept until it is replaced', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  await show(page, { fields: FIELDS, values: { name: 'AC1', token: '******6789', key: '****----', mode: 'a' } });
  await expect(page.getByText('••••6789')).toBeVisible();
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await submitted(page)).toMatchObject({ token: '******6789', key: '****----' });
  await page.getByRole('button', { name: 'Replace Token' }).click();
  await expect(page.getByLabel('Token', { exact: true })).toBeFocused();
  await page.getByLabel('Token', { exact: true }).fill('new');
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await submitted(page)).toMatchObject({ token: 'new', key: '****----' });
  await page.getByRole('button', { name: 'Keep the stored Token' }).click();
  await page.getByRole('button', { name: 'Save' }).click();
  expect(await submitted(page)).toMatchObject({ token: '******6789' });
});

test('problems stand beside their fields and lead there from the summary', async ({ page, accidents }) => {
  accidents.allow(/status of 401/);
  await show(page, {
    fields: FIELDS, values: { name: 'AC1', token: 'x', mode: 'a' },
    problem: { message: 'some fields are not right', errors: [
      { field: 'config.port', problem: 'must be a number from 1 to 65535' }, { field: 'config.hosts.1', problem: 'is no host' }, { field: 'elsewhere', problem: 'is not known here' },
    ] },
  });
  await page.getByLabel('Port').fill('five');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByRole('alert')).toContainText('Port must be a number');
  expect(await submitted(page)).toBe(undefined);
  await page.getByLabel('Port').fill('99999');
  await page.getByRole('button', { name: 'Save' }).click();
  const summary = page.getByRole('alert');
  await expect(summary).toContainText('3 fields are not right');
  await expect(summary).toContainText('elsewhere');
  await expect(page.getByLabel('Port')).toHaveAccessibleDescription(/65535/);
  await expect(page.getByLabel('Hosts')).toHaveAccessibleDescription(/1 is no host/);
  await summary.getByRole('link', { name: 'Port' }).click();
  await expect(page.getByLabel('Port')).toBeFocused();
  await picture(page, 'form-problems');
});
