// Building the document. Data only ever becomes text or an attribute's value: nothing here parses markup.

/**
 * Makes an element. `properties`: `on…` are listeners, `class` and other names attributes; true is an attribute without a
 * value, false, null and undefined none. Children: nodes, texts, numbers, lists of them; empty ones are left out.
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Puts children in the place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** Like `h`, for drawings. */
export function svg(tag, properties, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties ?? {})) element.setAttribute(name, String(value));
  append(element, children);
  return element;
}

let ids = 0;
/** An identifier that no other element of the page has. */
export const uniqueId = (prefix) => `${prefix}-${(ids += 1)}`;

/** A link within the console. */
export const link = (href, text, properties) => h('a', { href, ...properties }, text);

/** A link to somebody else's page, if it is one that a browser may open. */
export function outside(url, text) {
  let target = null;
  try {
    target = new URL(url);
  } catch {
    return text;
  }
  if (target.protocol !== 'https:' && target.protocol !== 'http:') return text;
  return h('a', { href: target.href, target: '_blank', rel: 'noopener noreferrer' }, text, h('span', { class: 'hidden' }, ' (opens a new tab)'));
}
