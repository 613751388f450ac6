// The recording of a call.

import { h } from '../dom.js';
import { section } from '../parts.js';

export function recordingSection(api, path, call) {
  if (!call.has_recording) return null;
  return section('Recording', h('p', { class: 'help' }, 'The caller on the left, the agent on the right.'),
    h('audio', { controls: true, preload: 'metadata', src: api.address(`${path}/recording`), 'aria-label': 'Recording of the call' }));
}
