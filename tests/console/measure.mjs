// How quickly the console shows something, and what it costs on the wire: prints a table (`just bench-console`).

import { chromium } from '@playwright/test';

import { ended, fillWith } from './content.mjs';
import { Installation } from './gateway.mjs';

const ROUNDS = 5;

const installation = await Installation.start();
const browser = await chromium.launch({ executablePath: process.env.STROWGER_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  const { key, api, call, configuration } = await fillWith(installation, 'Measured');
  await ended(api, call);
  const rows = [
    ['sign-in, nothing cached', await rounds(() => once('', { key: null }))],
    ['overview, nothing cached', await rounds(() => once('#/', { key }))],
    ['overview, again', await rounds(() => once('#/', { key, warm: true }))],
    ['configuration, nothing cached', await rounds(() => once(`#/configurations/${configuration.id}`, { key }))],
    ['call, nothing cached', await rounds(() => once(`#/calls/${call}`, { key }))],
  ];
  console.log('| page | first paint | content shown | requests | bytes on the wire: console | API |');
  console.log('|---|--:|--:|--:|--:|--:|');
  for (const [name, { paint, shown, requests, own, data }] of rows) {
    console.log(`| ${name} | ${paint.toFixed(0)} ms | ${shown.toFixed(0)} ms | ${requests} | ${(own / 1024).toFixed(1)} KiB | ${(data / 1024).toFixed(1)} KiB |`);
  }
} finally {
  await browser.close();
  await installation.stop();
}

/** The median of each value. */
async function rounds(measure) {
  const all = [];
  for (let round = 0; round < ROUNDS; round += 1) all.push(await measure());
  const median = (name) => all.map((each) => each[name]).sort((left, right) => left - right)[Math.floor(ROUNDS / 2)];
  return Object.fromEntries(Object.keys(all[0]).map((name) => [name, median(name)]));
}

async function once(hash, { key, warm = false }) {
  const context = await browser.newContext();
  if (key) await context.request.post(`${installation.url}/api/v1/session`, { data: { api_key: key }, headers: { origin: installation.url } });
  let page = await context.newPage();
  if (warm) {
    await open(page, hash);
    await page.close();
    page = await context.newPage();
  }
  const wire = await page.context().newCDPSession(page);
  await wire.send('Network.enable');
  const urls = new Map();
  const counted = { requests: 0, own: 0, data: 0 };
  wire.on('Network.requestWillBeSent', ({ requestId, request }) => urls.set(requestId, request.url));
  wire.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const url = urls.get(requestId) ?? '';
    if (encodedDataLength > 0) counted.requests += 1;
    counted[url.includes('/api/') ? 'data' : 'own'] += encodedDataLength;
  });
  await open(page, hash);
  const shown = await page.evaluate(() => performance.now());
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN);
  await context.close();
  return { paint, shown, ...counted };
}

async function open(page, hash) {
  await page.goto(`${installation.url}/console/${hash}`);
  await page.getByRole('heading', { level: 1 }).first().waitFor();
}
