// How times, durations, sizes and names are written for people.

import { h } from './dom.js';

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
const NUMBER = new Intl.NumberFormat();

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86400;

/** A moment: local, with the exact time in the title. `text` is RFC 3339; nothing becomes a dash. */
export function time(text) {
  if (!text) return '—';
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  return h('time', { datetime: text, title: `${EXACT.format(at)} (${text})` }, DATE.format(at));
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hour12: false });

/** A moment within a call, to the millisecond, with the exact time in the title. */
export const clock = (text) => h('time', { datetime: text, title: text }, CLOCK.format(new Date(text)));

/** How long ago, with the exact time in the title. */
export function ago(text) {
  if (!text) return '—';
  const at = new Date(text);
  const seconds = (at.getTime() - Date.now()) / 1000;
  const [value, unit] =
    Math.abs(seconds) < MINUTE_S ? [seconds, 'second']
    : Math.abs(seconds) < HOUR_S ? [seconds / MINUTE_S, 'minute']
    : Math.abs(seconds) < DAY_S ? [seconds / HOUR_S, 'hour']
    : [seconds / DAY_S, 'day'];
  return h('time', { datetime: text, title: `${EXACT.format(at)} (${text})` }, RELATIVE.format(Math.round(value), unit));
}

/** Minutes and seconds of so many milliseconds. */
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return '—';
  const seconds = Math.round(milliseconds / 1000);
  const [hours, minutes] = [Math.floor(seconds / HOUR_S), Math.floor((seconds % HOUR_S) / MINUTE_S)];
  const pad = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${pad(minutes)}:${pad(seconds % MINUTE_S)}` : `${minutes}:${pad(seconds % MINUTE_S)}`;
}

export const count = (number) => NUMBER.format(number);

/** `1 number`, `2 numbers`. */
export const some = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function bytes(number) {
  if (number < 1024) return `${number} B`;
  if (number < 1024 * 1024) return `${count(Math.round(number / 1024))} KiB`;
  return `${count(Math.round((number / 1024 / 1024) * 10) / 10)} MiB`;
}

/** A digest as far as people compare it. */
export const shortDigest = (digest) => digest.replace(/^sha256:/, '').slice(0, 12);

/** A stable name of the machine as words: `no-answer` and `not_ready` become `no answer` and `not ready`. */
export const words = (name) => String(name).replaceAll(/[_-]/g, ' ');

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : text);

/** A mask as people read it: how long the secret is, nobody needs to count. */
export const shortMask = (mask) => String(mask).replace(/^\*{5,}/, '••••');
