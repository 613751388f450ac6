// Two files at a time, each with a gateway and a browser of its own; within a file one test after the other.

import { defineConfig } from '@playwright/test';

const root = new URL('../../', import.meta.url).pathname;

export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.mjs',
  globalSetup: './prepare.mjs',
  outputDir: `${root}target/console/results`,
  reporter: [['list']],
  workers: 2,
  fullyParallel: false,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  use: {
    browserName: 'chromium',
    launchOptions: {
      executablePath: process.env.STROWGER_CHROMIUM ?? '/usr/bin/chromium',
      // Chromium's own sandbox is not to be had for root in a container; the pages are our own.
      args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
    },
    viewport: { width: 1280, height: 900 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    trace: 'retain-on-failure',
  },
});
