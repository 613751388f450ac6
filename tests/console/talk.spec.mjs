// Talking to an agent from a page: a microphone that plays a recording, a real gateway, and what became of the call.

import { fileURLToPath } from 'node:url';

import { ended } from './content.mjs';
import { expect, picture, signIn, test } from './gateway.mjs';
import { interruptible } from './agents.mjs';

const SPEECH = fileURLToPath(new URL('../speech/caller.wav', import.meta.url));

test.use({
  launchOptions: {
    executablePath: process.env.STROWGER_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-audio-capture=${SPEECH}`],
  },
});

async function talkers(installation, name) {
  const key = await installation.organization(name);
  const api = installation.api(key);
  const agent = (fields) => api('POST', '/agents', { record: true, ...fields });
  return {
    key,
    api,
    echo: await agent({ name: 'Parrot', protocol: 'echo' }),
    tone: await agent({ name: 'Tone', protocol: 'tone' }),
    short: await agent({ name: 'Goodbye', protocol: 'tone', parameters: { duration_ms: 1500, hang_up_after: true } }),
  };
}

async function call(page, agent) {
  await page.getByLabel('Agent', { exact: true }).selectOption(agent.id);
  await page.getByRole('button', { name: 'Call', exact: true }).click();
  await expect(page.getByRole('button', { name: 'Hang up' })).toBeVisible({ timeout: 60_000 });
}

const level = (page, name) => page.getByRole('meter', { name }).evaluate((meter) => meter.value);
const loud = (page, name) => expect.poll(() => level(page, name), { timeout: 60_000 }).toBeGreaterThan(0.3);

/** Highest of each channel of a recording, in 1/128. */
async function heard(api, id) {
  const waveform = await api('GET', `/calls/${id}/waveform?points=100`);
  return { ...waveform, peaks: waveform.channels.map(({ max }) => Math.max(...max)) };
}

const newest = async (api) => (await api('GET', '/calls?limit=1')).calls[0].id;

test('a person talks to an agent, presses keys, is muted, and hangs up', async ({ page, installation, accidents }) => {
  accidents.allow(/status of 401/);
  const { key, api, echo } = await talkers(installation, 'Talkers');
  await signIn(page, key, '#/talk');
  await call(page, echo);
  const id = await newest(api);
  await loud(page, 'Your voice');
  await loud(page, 'Agent’s voice');
  await picture(page, 'talk');
  await page.getByRole('button', { name: 'Press 5' }).click();
  await page.getByRole('group', { name: 'Keypad' }).getByRole('button', { name: 'Press hash' }).press('7');
  const log = page.getByRole('log', { name: 'What happened' });
  await expect(log).toContainText('You pressed 7.');
  const mute = page.getByRole('button', { name: 'Mute' });
  await mute.click();
  await expect(mute).toHaveAttribute('aria-pressed', 'true');
  await expect.poll(() => level(page, 'Your voice')).toBe(0);
  await mute.click();
  await page.getByRole('button', { name: 'Hang up' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'The call is over.' })).toBeVisible();
  await expect(log).toContainText('You hung up.');
  await expect(page.getByRole('button', { name: 'Call', exact: true })).toBeFocused();

  const record = await ended(api, id);
  expect(record.outcome).toMatchObject({ status: 'completed', reason: 'callee_hung_up', digits: 2 });
  const { peaks, marks } = await heard(api, id);
  for (const peak of peaks) expect(peak).toBeGreaterThan(5);
  expect(marks.filter(({ kind }) => kind === 'dtmf')).toHaveLength(2);
  const { invocations } = await api('GET', `/calls/${id}/invocations`);
  expect(invocations.map(({ export: name }) => name)).toContain('media.serialize-frame');
  await expect(log.getByRole('link', { name: 'Look at the call' })).toHaveAttribute('href', new RegExp(id));
});

test('an agent that hangs up ends the call here, and the next one works', async ({ page, installation, accidents }) => {
  accidents.allow(/status of 401/);
  const { key, api, short } = await talkers(installation, 'Short');
  await signIn(page, key, '#/talk');
  for (let round = 0; round < 2; round += 1) {
    await call(page, short);
    const id = await newest(api);
    await loud(page, 'Agent’s voice');
    await expect(page.getByRole('log', { name: 'What happened' })).toContainText('The agent hung up.', { timeout: 60_000 });
    expect((await ended(api, id)).outcome).toMatchObject({ status: 'completed', reason: 'agent_hung_up' });
  }
  // One browser is one configuration, however often it talks.
  const { configurations } = await api('GET', '/organizations/telephony-configs');
  expect(configurations.filter(({ provider }) => provider === 'browser')).toHaveLength(1);
});

test('two tabs at once are two calls', async ({ page, context, installation, accidents }) => {
  accidents.allow(/status of 401/);
  const { key, api, tone, echo } = await talkers(installation, 'Tabs');
  await signIn(page, key, '#/talk');
  await call(page, tone);
  const first = await newest(api);
  const other = await context.newPage();
  await other.goto('/console/#/talk');
  await call(other, echo);
  const second = await newest(api);
  expect(second).not.toBe(first);
  await loud(page, 'Agent’s voice');
  await loud(other, 'Agent’s voice');
  // A tab that is closed has hung up; the other one goes on.
  await other.close();
  expect((await ended(api, second)).outcome.reason).toBe('callee_hung_up');
  await loud(page, 'Agent’s voice');
  await page.getByRole('link', { name: 'Calls', exact: true }).click();
  expect((await ended(api, first)).outcome.reason).toBe('callee_hung_up');
});

test('an interruption empties what waits here, and is seen', async ({ page, installation, accidents }) => {
  accidents.allow(/status of 401/);
  const { key, api } = await talkers(installation, 'Interrupted');
  const speaker = await interruptible();
  try {
    const agent = await api('POST', '/agents', { name: 'Talkative', protocol: 'strowger', url: speaker.url, sample_rate_hz: 16_000 });
    await signIn(page, key, '#/talk');
    await call(page, agent);
    const id = await newest(api);
    await loud(page, 'Agent’s voice');
    await page.getByRole('button', { name: 'Press 1' }).click();
    const log = page.getByRole('log', { name: 'What happened' });
    await expect(log).toContainText('You interrupted the agent');
    await expect(log).toContainText('The mark “sorry” was played.');
    await page.getByRole('button', { name: 'Hang up' }).click();
    expect((await ended(api, id)).outcome).toMatchObject({ reason: 'callee_hung_up', barge_ins: 1 });
  } finally {
    speaker.stop();
  }
});

test('what keeps somebody from talking is told in words', async ({ page, installation, accidents }) => {
  accidents.allow(/status of (401|403)/);
  const { key, api, echo } = await talkers(installation, 'Silent');
  const alert = page.getByRole('alert').filter({ hasText: /\S/ });
  await page.addInitScript(() => {
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (wanted) => {
      const name = sessionStorage.getItem('microphone');
      return name ? Promise.reject(new DOMException('', name)) : ask(wanted);
    };
  });
  await signIn(page, key, '#/talk');
  await page.getByLabel('Agent', { exact: true }).selectOption(echo.id);
  for (const [name, words] of [['NotAllowedError', 'was not allowed'], ['NotFoundError', 'No microphone was found'], ['NotReadableError', 'another program may have it']]) {
    await page.evaluate((failure) => sessionStorage.setItem('microphone', failure), name);
    await page.getByRole('button', { name: 'Call', exact: true }).click();
    await expect(alert).toContainText(words);
  }
  expect((await api('GET', '/calls')).calls).toEqual([]);
  await page.evaluate(() => sessionStorage.clear());

  // Whoever may place calls and not change settings is told what an administrator has to enter.
  const { api_key: operator } = await api('POST', '/api-keys', { name: 'Operator', role: 'operate' });
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signIn(page, operator, '#/talk');
  await page.getByRole('button', { name: 'Call', exact: true }).click();
  await expect(alert).toContainText('An administrator can add');
  const browser = await page.getByRole('alert').locator('code').textContent();
  const made = await api('POST', '/organizations/telephony-configs', { name: 'Their browser', config: { provider: 'browser', public_key: browser } });
  expect(made.id).toBeTruthy();
  await call(page, echo);
  await page.getByRole('button', { name: 'Hang up' }).click();
});
