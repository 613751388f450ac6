// Before all tests, so that no test waits for it.

export { prepare as default } from './gateway.mjs';
