// A form from a description of its fields. Providers describe their settings in this way, and the console its own forms, so
// there is one way in which fields look, speak and fail.
//
// A field: {name, label, type, required, sensitive, description, placeholder, options: [{value, label}], visible_when:
// {field, equals}, section}; the console's own may name with `none` what an empty
// choice means, and have conditions with `among`: a list of values. Types: text, password, textarea, string-array, number, boolean, select, readonly; the console's
// own forms also have `json` (an object, written as JSON) and `file`.

import { fill, h, uniqueId } from './dom.js';
import { shortMask } from './format.js';
import { copyable, problemNote } from './parts.js';

/**
 * Makes a form.
 * `fields`: as above. `values`: what is stored; secrets are masks, kept unless they are replaced.
 * `prefix`: what the gateway calls the object that the fields are in, with a dot (`config.`). Fields with `own` stand beside
 * that object, and have their stored values in `own`: so a provider's field may have any name.
 * `submit`: the button's text. `onSubmit(values, own)`: asked with what was entered; a `Problem` it throws is shown by field.
 */
export function createForm({ fields, values = {}, own = {}, submit, onSubmit, onCancel, prefix = '' }) {
  const controls = fields.filter((field) => !field.server_managed).map((field) => control(field, (field.own ? own : values)[field.name], field.own ? field.name : prefix + field.name));
  const summary = h('div', { class: 'form-problems', tabindex: '-1' });
  const send = h('button', { type: 'submit', class: 'button primary' }, submit);

  const update = () => {
    // A condition may hang on a field that is conditional itself: as many rounds as there are fields settle all of them.
    for (let round = 0; round < controls.length; round += 1) {
      let changed = false;
      for (const each of controls) {
        const condition = each.field.visible_when;
        if (!condition) continue;
        const master = controls.find((other) => other.field.name === condition.field && Boolean(other.field.own) === Boolean(each.field.own));
        const shown = Boolean(master) && !master.element.hidden && (condition.among ? condition.among.includes(master.read()) : same(master.read(), condition.equals));
        if (shown !== !each.element.hidden) {
          each.element.hidden = !shown;
          // What nobody can see must not be sent.
          if (!shown) each.clear();
          changed = true;
        }
      }
      if (!changed) break;
    }
  };

  const form = h('form', { novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    if (send.getAttribute('aria-disabled') === 'true') return;
    clear();
    const problems = [];
    const [entered, beside] = [{}, {}];
    for (const each of controls) {
      if (each.element.hidden || each.field.type === 'readonly') continue;
      try {
        const value = each.read(true);
        if (value !== undefined) (each.field.own ? beside : entered)[each.field.name] = value;
      } catch (error) {
        problems.push({ field: each.path, problem: error.message });
      }
    }
    if (problems.length) {
      show({ message: 'Some fields are not right; nothing was sent.', errors: problems });
      return;
    }
    send.setAttribute('aria-disabled', 'true');
    form.setAttribute('aria-busy', 'true');
    try {
      await onSubmit(entered, beside);
    } catch (problem) {
      if (problem.name !== 'AbortError') show(problem);
    } finally {
      send.removeAttribute('aria-disabled');
      form.removeAttribute('aria-busy');
    }
  } },
  summary, sections(controls),
  h('p', { class: 'actions' }, send, onCancel && h('button', { type: 'button', class: 'button', onclick: onCancel }, 'Cancel')));
  form.addEventListener('input', update);
  form.addEventListener('change', update);
  update();

  function clear() {
    fill(summary);
    for (const each of controls) each.problem(null);
  }

  /** Beside the field, and all of them together above, where the focus goes. */
  function show(problem) {
    if (!problem.errors) console.error(problem);
    const told = [];
    for (const { field, problem: text } of problem.errors ?? []) {
      const each = controls.find((other) => field === other.path || field.startsWith(`${other.path}.`));
      if (each && !each.element.hidden) {
        const inside = field.slice(each.path.length + 1);
        each.problem(inside ? `${inside} ${text}` : text);
        told.push(h('li', null, h('a', { href: `#${each.id}`, onclick: (event) => {
          event.preventDefault();
          each.focus();
        } }, each.field.label), ' ', text));
      } else {
        told.push(h('li', null, h('code', null, field), ' ', text));
      }
    }
    if (told.length) {
      fill(summary, h('div', { class: 'note bad', role: 'alert' }, h('p', null, told.length === 1 ? 'One field is not right:' : `${told.length} fields are not right:`), h('ul', null, told)));
    } else {
      fill(summary, problemNote(problem));
    }
    summary.focus();
  }

  return form;
}

const same = (left, right) => left === right || JSON.stringify(left ?? null) === JSON.stringify(right ?? null);

/** Fields under one heading stand together, in the order of the first of them. */
function sections(controls) {
  const groups = new Map();
  for (const each of controls) {
    const name = each.field.section ?? '';
    groups.set(name, [...(groups.get(name) ?? []), each.element]);
  }
  return [...groups].map(([name, elements]) => (name ? h('fieldset', null, h('legend', null, name), elements) : h('div', { class: 'fields' }, elements)));
}

const lines = (text) => text.split('\n').map((line) => line.trim()).filter(Boolean);

/** One field: its element, and how it is read, cleared and marked. */
function control(field, stored, path) {
  const id = uniqueId('field');
  const describedBy = [];
  const error = h('p', { class: 'field-problem', id: `${id}-problem` });
  const help = field.description ? h('p', { class: 'help', id: `${id}-help` }, field.description) : null;
  if (help) describedBy.push(help.id);
  describedBy.push(error.id);
  const label = h('label', { for: id }, field.label, !field.required && field.type !== 'boolean' && field.type !== 'readonly' ? h('span', { class: 'optional' }, ' (optional)') : null);
  const base = {
    id, name: field.name, 'aria-describedby': describedBy.join(' '), 'aria-required': field.required ? 'true' : null,
    placeholder: field.placeholder, autocomplete: 'off', spellcheck: 'false',
  };
  const make = () => INPUTS[field.type === 'string-array' ? 'textarea' : field.type]?.(field, base) ?? INPUTS.text(field, base);
  const masked = field.sensitive && stored !== undefined && stored !== null && stored !== '' && field.type !== 'readonly';

  let input = field.type === 'readonly' ? null : make();
  let kept = masked;
  const place = h('div', { class: 'field-place' });
  const element = h('div', { class: `field field-${field.type}` });

  function draw() {
    if (field.type === 'readonly') {
      const shown = Array.isArray(stored) ? stored.join('\n') : stored;
      fill(place, shown === undefined || shown === null || shown === '' ? h('span', { class: 'faint', id }, 'Known once it is saved') : h('span', { id }, copyable(shown, field.label)));
    } else if (kept) {
      const mask = [stored].flat().map(shortMask).join(', ');
      fill(place, h('span', { class: 'kept' }, h('code', { id }, mask), h('button', { type: 'button', class: 'button small', 'aria-label': `Replace ${field.label}`, onclick: () => {
        kept = false;
        draw();
        input.focus();
      } }, 'Replace')));
    } else {
      fill(place, h('span', { class: 'entered' }, input, masked && h('button', { type: 'button', class: 'button small', 'aria-label': `Keep the stored ${field.label}`, onclick: () => {
        input.value = '';
        kept = true;
        draw();
      } }, 'Keep')));
    }
  }

  if (input && !masked && stored !== undefined && stored !== null) write(input, field, stored);
  else if (input && stored === undefined && field.initial !== undefined) write(input, field, field.initial);
  draw();
  if (field.type === 'boolean' && !masked) fill(element, h('div', { class: 'check' }, place, label), help, error);
  else fill(element, field.type === 'readonly' ? h('span', { class: 'label', id: `${id}-label` }, field.label) : label, help, place, error);

  return {
    field, element, id, path,
    read(complain = false) {
      if (field.type === 'readonly') return stored;
      // A mask means: as it was.
      if (kept) return stored;
      return read(input, field, complain);
    },
    clear() {
      if (!input) return;
      kept = false;
      if (input.type === 'checkbox') input.checked = false;
      else input.value = '';
      draw();
    },
    problem(text) {
      fill(error, text && h('span', null, text));
      element.classList.toggle('wrong', Boolean(text));
      if (!input) return;
      if (text) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    },
    focus() {
      (kept ? place.querySelector('button') : (input ?? element)).focus();
    },
  };
}

const INPUTS = {
  text: (field, base) => h('input', { type: 'text', ...base }),
  password: (field, base) => h('input', { type: 'password', ...base, autocomplete: 'new-password' }),
  number: (field, base) => h('input', { type: 'text', inputmode: 'decimal', ...base }),
  textarea: (field, base) => h('textarea', { rows: field.type === 'string-array' ? 3 : 5, ...base, placeholder: field.placeholder ?? (field.type === 'string-array' ? 'One on each line' : null) }),
  json: (field, base) => h('textarea', { rows: 5, class: 'code', ...base }),
  boolean: (field, base) => h('input', { type: 'checkbox', ...base, placeholder: null, autocomplete: null }),
  file: (field, base) => h('input', { type: 'file', accept: field.accept, ...base, placeholder: null, autocomplete: null }),
  select: (field, base) => h('select', { ...base, placeholder: null },
    field.options.some((option) => option.value === '') ? null : h('option', { value: '' }, field.required ? 'Choose …' : (field.none ?? 'Not set')),
    field.options.map((option) => h('option', { value: option.value }, option.label))),
};

function write(input, field, value) {
  switch (field.type) {
    case 'boolean': input.checked = value === true; break;
    case 'string-array': input.value = Array.isArray(value) ? value.join('\n') : String(value); break;
    case 'json': input.value = Object.keys(value).length ? JSON.stringify(value, null, 2) : ''; break;
    case 'file': break;
    default: input.value = String(value);
  }
}

/** What was entered, in the field's type; undefined when it is empty. With `complain`, what cannot be read is an error. */
function read(input, field, complain) {
  switch (field.type) {
    case 'boolean': return input.checked;
    case 'file': return input.files[0];
    case 'string-array': {
      const entered = lines(input.value);
      return entered.length ? entered : undefined;
    }
    case 'number': {
      const text = input.value.trim();
      if (!text) return undefined;
      const number = Number(text);
      if (!Number.isFinite(number)) {
        if (complain) throw new Error('must be a number');
        return undefined;
      }
      return number;
    }
    case 'json': {
      const text = input.value.trim();
      if (!text) return undefined;
      let parsed;
      try {
        parsed = JSON.parse(text);
      } catch (error) {
        if (complain) throw new Error(`must be JSON such as {"language": "en"}: ${error.message}`);
        return undefined;
      }
      if (complain && (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed))) throw new Error('must be a JSON object such as {"language": "en"}');
      return parsed;
    }
    // A private key keeps its line breaks; everything else loses the white space that copying brings.
    case 'textarea': return input.value.trim() ? input.value : undefined;
    case 'password': return input.value || undefined;
    default: return input.value.trim() || undefined;
  }
}
