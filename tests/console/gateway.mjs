// What a test of the console is made of: a real gateway, a simulated carrier, and a browser that is watched.
//
// Every request to another host, every violation of the pages' policy, every script that fails and every accident in the
// browser's console fails the test that was running.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { test as base, expect } from '@playwright/test';

export { expect };

const root = new URL('../../', import.meta.url).pathname;
const programs = process.env.STROWGER_PROGRAMS ?? join(root, 'target', 'debug');
export const providers = process.env.STROWGER_PROVIDERS ?? join(root, 'target', 'providers');
export const pictures = join(root, 'target', 'console');
const READY_MS = 180_000;
/** The data of an installation that has compiled every provider once: what takes long is done before the tests begin. */
const prepared = join(root, 'target', 'console', 'prepared');
/** What the programs are told, they are told here. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('STROWGER_')));

/** Below those that the system gives to whoever asks for any, so that nobody takes one before it is used. */
const PORTS = { first: 20_000, count: 10_000 };
let asked = 0;

/** A port that nobody listens on. Each process looks in a place of its own. */
async function freePort() {
  for (;;) {
    const port = PORTS.first + ((process.pid * 97 + asked) % PORTS.count);
    asked += 1;
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(() => true, () => false);
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Starts a program and resolves with its lines once one of them fits. */
async function start(name, args, ready, stream) {
  const child = spawn(join(programs, name), args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [];
  const heard = { stdout: [], stderr: [] };
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${name} is not ready after ${READY_MS} ms:\n${lines.join('\n')}`));
    }, READY_MS);
    for (const from of ['stdout', 'stderr']) {
      createInterface({ input: child[from] }).on('line', (line) => {
        lines.push(line);
        heard[from].push(line);
        if (from === stream && ready.test(line)) {
          clearTimeout(timer);
          resolve();
        }
      });
    }
    child.on('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${name} ended with ${code}:\n${lines.join('\n')}`));
    });
  });
  return { child, lines, stop: () => stop(child) };
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await once(child, 'exit');
  clearTimeout(killer);
}

async function run(name, args) {
  const child = spawn(join(programs, name), args, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${name} ${args[0]} ended with ${code}`);
  return output;
}

/** Says which program and which providers prepared data belongs to. */
function stamp() {
  const files = [join(programs, 'strowger'), ...readdirSync(providers).sort().map((name) => join(providers, name))];
  return JSON.stringify(files.map((file) => [file, statSync(file).size, statSync(file).mtimeMs]));
}

const isPrepared = () => existsSync(join(prepared, 'stamp')) && readFileSync(join(prepared, 'stamp'), 'utf8') === stamp();

/** Compiles the providers once, for all installations of this run and of the next ones. */
export async function prepare() {
  if (isPrepared()) return;
  rmSync(prepared, { recursive: true, force: true });
  const installation = await Installation.start();
  await installation.gateway.stop();
  mkdirSync(pictures, { recursive: true });
  cpSync(installation.folder, `${prepared}.new`, { recursive: true });
  writeFileSync(join(`${prepared}.new`, 'stamp'), stamp());
  renameSync(`${prepared}.new`, prepared);
  await installation.stop();
}

/** What a carrier says of itself when it starts: its account here, a number of it, and how it is reached. */
function said(carrier) {
  const line = (pattern) => pattern.exec(carrier.lines.join('\n'))?.slice(1) ?? [];
  const [rest, hosts] = line(/answers at (\S+) for (.+)/);
  return {
    account: JSON.parse(line(/credentials (.+)/)[0]),
    number: line(/number +(\S+)/)[0],
    carrierAddress: new URL(rest).host,
    routes: hosts.split(', ').flatMap((host) => ['--egress-route', `${host}=${rest}`]),
  };
}

/** A gateway with a carrier beside it, and the keys of organisations that are made on demand. */
export class Installation {
  /**
   * With `carrier` null there is neither one nor any provider: a gateway that was just installed. `beside` is one more carrier,
   * `fault` what the first one gets wrong (`strowger-carrier --misbehave list`), `listenS` how long whoever is called stays on the line
   * after speaking, in seconds.
   */
  static async start({ carrier = 'twilio', beside = null, fault = null, listenS = 2 } = {}) {
    const made = new Installation();
    made.folder = mkdtempSync(join(tmpdir(), 'strowger-console-'));
    try {
      await made.#begin({ carrier, beside, fault, listenS });
    } catch (error) {
      await made.stop();
      throw error;
    }
    return made;
  }

  async #begin({ carrier, beside, fault, listenS }) {
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    this.serve = (...more) => start('strowger', [
      'serve', '--data-dir', this.folder, '--listen', `127.0.0.1:${port}`, '--allow-network', '127.0.0.0/8', '--shutdown-grace-s', '1', ...more,
    ], /^Listening on/, 'stderr');
    if (!carrier) {
      this.gateway = await this.serve();
      return;
    }
    if (isPrepared()) cpSync(prepared, this.folder, { recursive: true });
    const play = (name, ...more) => start('strowger-carrier', ['--carrier', name, '--gateway', this.url, '--calls', '0', '--listen-s', String(listenS), ...more], /^number/, 'stdout');
    this.carry = (...more) => play(carrier, ...more);
    this.carrier = await this.carry(...(fault ? ['--misbehave', fault] : []));
    Object.assign(this, said(this.carrier));
    const routes = [...this.routes];
    if (beside) {
      this.second = await play(beside);
      this.beside = said(this.second);
      routes.push(...this.beside.routes);
    }
    this.gateway = await this.serve('--providers', providers, ...routes);
  }

  /** The carrier goes away. */
  async loseCarrier() {
    await this.carrier.stop();
  }

  /** It comes back where it was, and does everything right. */
  async regainCarrier() {
    this.carrier = await this.carry('--listen', this.carrierAddress);
  }

  /** Makes an organisation; resolves with its API key. */
  async organization(name) {
    const output = await run('strowger', ['org', 'create', name, '--data-dir', this.folder]);
    return /strow_\S+/.exec(output)[0];
  }

  /** Makes a key of the operator's. */
  async operator() {
    const output = await run('strowger', ['key', 'create', '--operator', '--name', 'console tests', '--data-dir', this.folder]);
    return /strow\S+/.exec(output)[0];
  }

  /** A client of the REST API, for what a test needs and is not about. */
  api(key) {
    return async (method, path, body) => {
      const response = await fetch(`${this.url}/api/v1${path}`, {
        method, headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) }, body: body && JSON.stringify(body),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return text ? JSON.parse(text) : null;
    };
  }

  async stop() {
    await this.gateway?.stop();
    await this.carrier?.stop();
    await this.second?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const test = base.extend({
  installation: [async ({}, use) => {
    const installation = await Installation.start();
    await use(installation);
    await installation.stop();
  }, { scope: 'worker', timeout: 300_000 }],

  baseURL: async ({ installation }, use) => use(installation.url),

  /** The page, watched. `allow(pattern)` names what a test provokes on purpose, `at(url)` a gateway of its own. */
  accidents: async ({ page, installation }, use) => {
    const found = [];
    const allowed = [];
    const homes = [installation.url];
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (!['data:', 'blob:'].includes(url.protocol) && !homes.includes(url.origin)) found.push(`request to ${url.origin}`);
      if (/%2B?\d{9}|\+\d{9}/.test(request.url())) found.push(`phone number in ${request.url()}`);
    });
    page.on('pageerror', (error) => found.push(`script failed: ${error.stack}`));
    page.on('console', (message) => {
      if (message.type() === 'error' || /Content.Security.Policy/i.test(message.text())) found.push(`${message.text()} (${message.location().url})`);
    });
    await use({ allow: (pattern) => allowed.push(pattern), at: (url) => homes.push(url) });
    expect(found.filter((text) => !allowed.some((pattern) => pattern.test(text)))).toEqual([]);
  },
});

/** Opens the console and signs in. */
export async function signIn(page, key, hash = '') {
  await page.goto(`/console/${hash}`);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  // On a narrow screen it is behind the menu.
  await expect(page.getByRole('button', { name: 'Sign out', includeHidden: true })).toBeAttached();
}

/** A picture of a whole page is higher than any window: what sticks to the window stands still, and notices go away. */
const STILL = '.bar { position: static !important; height: auto !important; } #announcements { display: none !important; }';

/** Writes what is to be seen into target/console, for people; of a page without end, as much as `most` pixels. */
export async function picture(page, name, most = 6000) {
  mkdirSync(pictures, { recursive: true });
  // Not as an element: the pages' own policy would refuse it.
  await page.evaluate((rules) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(rules);
    document.adoptedStyleSheets = [sheet];
  }, STILL);
  const { width, height } = await page.evaluate(() => ({ width: innerWidth, height: document.documentElement.scrollHeight }));
  // What lies over the page covers the window, and no more.
  const whole = (await page.getByRole('dialog').count()) === 0;
  const clip = { x: 0, y: 0, width, height: whole ? Math.min(Math.max(height, page.viewportSize().height), most) : page.viewportSize().height };
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: whole, animations: 'disabled', clip });
  await page.evaluate(() => {
    document.adoptedStyleSheets = [];
  });
}

/** Presses Tab until an element has the focus, which must show. */
export async function tabTo(page, target) {
  await expect(target).toBeVisible();
  const element = await target.elementHandle();
  for (let stop = 0; stop < 60; stop += 1) {
    if (await element.evaluate((node) => node === document.activeElement)) {
      const outline = await element.evaluate((node) => getComputedStyle(node).outlineStyle);
      expect(outline, 'the focus is to be seen').not.toBe('none');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error('it cannot be reached with Tab');
}
